"""The report page as a reader gets it: drawn by Chromium at desk and phone width, nothing overlapping or cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.report import DemoReport, write
from eval.report.comparison import write_comparison
from tests.eval.chromium import (
    BOXES,
    CHARTS,
    DESK,
    MARKS,
    PHONE,
    SMALLEST,
    TABLET,
    Browser,
    assert_quiet,
    contrast,
    faults_of,
    luminance,
    open_anew,
)
from tests.eval.comparison_example import example_comparison
from tests.eval.report_example import example_report, hostile_report
from tests.eval.search_example import example_searches
from vpo.cli.search_compare.command import write_searches

pytestmark = MARKS

REPORTS = {"example": example_report, "hostile": hostile_report}
PAGES = [*REPORTS, "comparison", "search-comparison"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, make in REPORTS.items():
        write(make(), folder / f"{name}.html")
    write_comparison(example_comparison(), folder / "comparison.html")
    write_searches(example_searches(), folder / "search-comparison.html")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.fixture(
    params=[(name, width) for name in PAGES for width in (DESK, PHONE)],
    ids=lambda p: f"{p[0]}-{p[1]}",
    scope="module",
)
def opened(request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Path]) -> Browser:
    name, width = request.param
    return open_anew(browser, pages[name], width)


def test_the_console_stays_empty_and_nothing_is_asked_of_a_network(opened: Browser) -> None:
    assert_quiet(opened)


def test_the_page_is_not_wider_than_its_window(opened: Browser) -> None:
    # Not held against innerWidth: a phone zooms out of a page that is too wide, and innerWidth grows with it.
    assert opened.run("return document.documentElement.scrollWidth") <= opened.width


def test_every_chart_is_drawn_with_titled_axes(opened: Browser) -> None:
    charts = opened.run(CHARTS)
    assert len(charts) >= (2 if "comparison" in opened.driver.current_url else 8)
    for chart in charts:
        assert chart["width"] >= 250
        assert chart["height"] >= 200
        assert chart["marks"] >= 1
        assert all(title and len(title) >= 5 for title in chart["titles"])


def test_nothing_overlaps_and_nothing_is_cut_off(opened: Browser) -> None:
    assert faults_of(opened.run(BOXES)) == []


def test_words_are_large_enough_to_read(opened: Browser) -> None:
    assert opened.run(SMALLEST) >= 12


def test_a_tablet_needs_no_sideways_scrolling_either(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["example"], TABLET)
    assert browser.run("return document.documentElement.scrollWidth") <= TABLET
    inner, outer = browser.run(
        "const box = document.querySelector('.scroll'); return [box.scrollWidth, box.clientWidth]"
    )
    assert inner <= outer


def test_a_click_on_the_legend_hides_the_arm_in_all_charts_of_its_group(
    browser: Browser, pages: dict[str, Path]
) -> None:
    count = """return [...document.querySelectorAll("#happened .plot")].map(
      (plot) => plot.querySelectorAll(".scatterlayer .trace").length)"""
    browser.open(pages["example"], PHONE)
    before = browser.run(count)
    button = "document.querySelector('#happened .legend button[data-meta=\"VPO\"]')"
    browser.run(f"{button}.click()")
    hidden = browser.run(count)
    assert hidden == [number - 2 for number in before], "its line and its band"
    assert browser.run(f"return {button}.getAttribute('aria-pressed')") == "false"
    browser.run(f"{button}.click()")
    assert browser.run(count) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_stand_out_from_their_ground(browser: Browser, pages: dict[str, Path], scheme: str) -> None:
    browser.open(pages["example"], DESK, scheme)
    read = """const style = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
      return { card: style(".chart", "backgroundColor"), page: style("body", "backgroundColor"),
        texts: ["h1", ".lead", ".note", "td", ".badge", ".short .badge"].map((each) => style(each, "color"))
          .concat(style(".xtitle", "fill"), style(".xtick text", "fill")),
        lines: [...document.querySelectorAll("#happened .js-line")].map((each) => getComputedStyle(each))
          .filter((each) => parseFloat(each.strokeWidth) > 0).map((each) => each.stroke) }"""
    found = browser.run(read)
    grounds = [found["card"], found["page"]]
    assert (luminance(found["page"]) > 0.5) == (scheme == "light")
    assert min(contrast(text, ground) for text in found["texts"] for ground in grounds) >= 4.5  # WCAG 2.2 AA, text
    assert len(found["lines"]) == 14
    assert min(contrast(line, found["card"]) for line in found["lines"]) >= 3  # WCAG 2.2 AA, graphics


def test_a_report_of_one_arm_and_one_look_is_drawn(browser: Browser, tmp_path: Path) -> None:
    full = example_report(num_looks=1)
    lone = DemoReport(
        title="one",
        command="c",
        created="now",
        seed=0,
        hardware="h",
        looks={"VPO": full.looks["VPO"]},
        table=full.table[2:3],
    )
    write(lone, tmp_path / "one.html")
    browser.console()
    browser.open(tmp_path / "one.html", PHONE)
    assert browser.console() == []
    bars = browser.run(
        "return [...document.querySelectorAll('.barlayer path')].map((b) => b.getBoundingClientRect().width)"
    )
    assert len(bars) >= 6
    assert min(bars) > 50
