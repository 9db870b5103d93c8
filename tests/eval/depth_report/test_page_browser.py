"""The depth report as a reader gets it: drawn by Chromium at desk and phone width, nothing overlapping or cut off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.report.depth import write_depth_report
from tests.eval.chromium import BOXES, DESK, MARKS, PHONE, Browser, lies_within, overlap
from tests.eval.depth_report.depth_example import example_depth_report, hostile_depth_report

pytestmark = MARKS
REPORTS = {"example": example_depth_report, "hostile": hostile_depth_report}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {name: write_depth_report(make(), folder / name)[0] for name, make in REPORTS.items()}


@pytest.fixture(
    params=[(name, width) for name in REPORTS for width in (DESK, PHONE)],
    ids=lambda p: f"{p[0]}-{p[1]}",
    scope="module",
)
def opened(request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Path]) -> Browser:
    name, width = request.param
    browser.console(), browser.requests()  # what earlier pages left
    browser.open(pages[name], width)
    return browser


def test_the_page_asks_for_nothing_says_nothing_and_fits_its_window(opened: Browser) -> None:
    assert opened.console() == []
    asked = [address for address in opened.requests() if not address.startswith("data:")]
    assert asked == [opened.driver.current_url], "one request, for the page itself"
    assert opened.run("return window.broken === undefined"), "a name was taken as markup"
    assert opened.run("return document.documentElement.scrollWidth") <= opened.width


def test_every_chart_is_drawn_with_its_marks_and_titled_axes(opened: Browser) -> None:
    charts = opened.run(
        """return [...document.querySelectorAll(".plot")].map((plot) => {
          const { width, height } = plot.querySelector("svg.main-svg").getBoundingClientRect();
          const marks = plot.querySelectorAll(".scatterlayer .trace, .barlayer .trace").length;
          const titles = [".xtitle", ".ytitle"].map((each) => plot.querySelector(each)?.textContent);
          return { width, height, marks, titles };
        })"""
    )
    assert len(charts) >= 12
    for chart in charts:
        assert chart["width"] >= 250 and chart["height"] >= 200 and chart["marks"] >= 1
        assert all(title and len(title) >= 4 for title in chart["titles"])


def test_nothing_overlaps_and_nothing_is_cut_off(opened: Browser) -> None:
    faults = []
    for group in opened.run(BOXES):
        frame, boxes = group["frame"], group["boxes"]
        faults += [f"{box['name']!r} leaves {frame['name']!r}" for box in boxes if not lies_within(box, frame)]
        pairs = [(one, other) for index, one in enumerate(boxes) for other in boxes[:index]]
        faults += [f"{one['name']!r} over {other['name']!r}" for one, other in pairs if overlap(one, other)]
    assert faults == []


def test_the_sweet_spot_is_drawn_and_words_are_large_enough_to_read(opened: Browser) -> None:
    assert opened.run("return document.querySelectorAll('#gain .shapelayer path').length") >= 2
    smallest = opened.run(
        """return Math.min(...[...document.querySelectorAll("p, dd, dt, td, th, li, figcaption, .plot text")]
          .filter((each) => each.textContent.trim() && each.getClientRects().length)
          .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""
    )
    assert smallest >= 12
