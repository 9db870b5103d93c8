"""The depth report as a reader gets it: drawn by Chromium at desk and phone width, nothing overlapping or cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.report.depth import write_depth_report
from tests.eval.chromium import (
    BOXES,
    CHARTS,
    DESK,
    MARKS,
    PHONE,
    SMALLEST,
    Browser,
    assert_quiet,
    faults_of,
    open_anew,
)
from tests.eval.depth_report.depth_example import example_depth_report, hostile_depth_report

pytestmark = MARKS
REPORTS = {"example": example_depth_report, "hostile": hostile_depth_report}


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
    return open_anew(browser, pages[name], width)


def test_the_page_asks_for_nothing_says_nothing_and_fits_its_window(opened: Browser) -> None:
    assert_quiet(opened)
    assert opened.run("return document.documentElement.scrollWidth") <= opened.width


def test_every_chart_is_drawn_with_its_marks_and_titled_axes(opened: Browser) -> None:
    charts = opened.run(CHARTS)
    assert len(charts) >= 12
    for chart in charts:
        assert chart["width"] >= 250 and chart["height"] >= 200 and chart["marks"] >= 1
        assert all(title and len(title) >= 4 for title in chart["titles"])


def test_nothing_overlaps_and_nothing_is_cut_off(opened: Browser) -> None:
    assert faults_of(opened.run(BOXES)) == []


def test_the_sweet_spot_is_drawn_and_words_are_large_enough_to_read(opened: Browser) -> None:
    assert opened.run("return document.querySelectorAll('#gain .shapelayer path').length") >= 2
    assert opened.run(SMALLEST) >= 12
