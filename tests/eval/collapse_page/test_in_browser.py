"""The format-diversity page as a reader gets it: drawn by Chromium at desk and phone width, in light and in dark."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from eval.report.collapse import write_report
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
    open_anew,
)
from tests.eval.collapse_page.sample import SCENARIOS

pytestmark = MARKS

# Those with a hundred charts, or with 200 looks in each, take a minute on a small machine.
SLOW = ["many", "several"]
PAGES = ["collapse", "hostile", "one-look", *SLOW]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {name: write_report(make(), folder / f"{name}.html")[0] for name, make in SCENARIOS.items() if name in PAGES}


@pytest.fixture(
    params=[
        pytest.param((name, width), id=f"{name}-{width}", marks=[pytest.mark.slow] if name in SLOW else [])
        for name in PAGES
        for width in (DESK, PHONE)
    ],
    scope="module",
)
def opened(request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Path]) -> Browser:
    name, width = request.param
    open_anew(browser, pages[name], width)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    wait_until(browser, "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))")
    return browser


def wait_until(browser: Browser, condition: str) -> None:
    deadline = time.monotonic() + 60
    while not browser.run(f"return {condition}"):
        assert time.monotonic() < deadline, f"never: {condition}; {browser.console()}"
        time.sleep(0.05)


def test_the_console_stays_empty_and_nothing_is_asked_of_a_network(opened: Browser) -> None:
    assert_quiet(opened)


def test_the_page_is_not_wider_than_its_window_and_no_table_scrolls(opened: Browser) -> None:
    assert opened.run("return document.documentElement.scrollWidth") <= opened.width
    inner = opened.run(
        "return [...document.querySelectorAll('.scroll')].map((each) => [each.scrollWidth, each.clientWidth])"
    )
    assert inner
    assert all(needed <= given for needed, given in inner)


def test_every_chart_is_drawn(opened: Browser) -> None:
    charts = opened.run(CHARTS)
    assert len(charts) >= 15
    small = [chart for chart in charts if chart["width"] < 230 or chart["height"] < 190 or not chart["marks"]]
    assert small == []


def test_nothing_overlaps_and_nothing_is_cut_off(opened: Browser) -> None:
    assert faults_of(opened.run(BOXES)) == []


def test_words_are_large_enough_to_read(opened: Browser) -> None:
    assert opened.run(SMALLEST) >= 12


def test_every_legend_names_what_is_drawn_and_can_be_read(opened: Browser) -> None:
    legends = opened.run(
        """return [...document.querySelectorAll(".legend button")].map((key) => ({
          name: key.dataset.meta, shown: key.querySelector("span:last-child").textContent,
          size: parseFloat(getComputedStyle(key).fontSize), height: key.getBoundingClientRect().height }))"""
    )
    assert len(legends) >= 6
    assert all(key["name"] == key["shown"] and key["size"] >= 13 and key["height"] >= 20 for key in legends)


def test_one_switch_turns_all_charts_over_steps_to_a_logarithmic_axis(browser: Browser, pages: dict[str, Path]) -> None:
    kinds = """return [...document.querySelectorAll(".plot")].filter((plot) => plot.querySelector(".main-svg"))
      .filter((plot) => plot.layout.xaxis.title.text === "training step").map((plot) => plot.layout.xaxis.type)"""
    browser.console()
    browser.open(pages["collapse"], PHONE)
    assert set(browser.run(kinds)) == {"linear"}
    browser.run("document.querySelector('button[data-axis]').click()")
    wait_until(browser, "document.querySelector('#shares-0 .plot').layout.xaxis.type === 'log'")
    wait_until(browser, "document.querySelector('#evidence-0 .plot').layout.xaxis.type === 'log'")
    assert set(browser.run(kinds)) == {"log"}
    assert browser.run(
        "return [...document.querySelectorAll('button[data-axis]')].every((key) => key.ariaPressed === 'true')"
    )
    # Half of the width is now left of step 45, the geometric mean of 10 and 200: there the collapse is.
    place = browser.run(
        "const { xaxis } = document.querySelector('#shares-0 .plot')._fullLayout; return xaxis.d2p(45) / xaxis._length"
    )
    assert 0.45 < place < 0.55
    browser.run("document.querySelectorAll('button[data-axis]')[2].click()")
    wait_until(browser, "document.querySelector('#shares-0 .plot').layout.xaxis.type !== 'log'")
    assert browser.console() == []


def test_a_run_in_a_fold_is_drawn_when_it_is_opened(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["several"], DESK)
    drawn = "document.querySelectorAll('#run-0 .main-svg').length"
    assert browser.run(f"return {drawn}") == 0
    browser.run("document.querySelector('#run-0 > summary').click()")
    wait_until(browser, f"{drawn} > 15")
    width = browser.run("return document.querySelector('#run-0 .plot .main-svg').getBoundingClientRect().width")
    assert width > 800


def test_a_tablet_needs_no_sideways_scrolling_either(browser: Browser, pages: dict[str, Path]) -> None:
    for name in ("collapse", "several"):
        browser.open(pages[name], TABLET)
        assert browser.run("return document.documentElement.scrollWidth") <= TABLET


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_lines_stand_out_from_their_ground(browser: Browser, pages: dict[str, Path], scheme: str) -> None:
    browser.open(pages["collapse"], DESK, scheme)
    read = """const style = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
      return { card: style(".chart", "backgroundColor"), page: style("body", "backgroundColor"),
        texts: ["h1", ".sub", ".note", ".facts li", ".alarm .level", ".alarm dd", ".diff del", ".diff ins", ".interval",
          ".switch", ".looks td", "summary"].map((each) => style(each, "color")).concat(style(".xtick text", "fill")),
        lines: [...document.querySelectorAll("#evidence-0 .js-line, #effective-0 .js-line")]
          .map((each) => getComputedStyle(each))
          .filter((each) => parseFloat(each.strokeWidth) > 2).map((each) => each.stroke) }"""
    found = browser.run(read)
    grounds = [found["card"], found["page"]]
    assert min(contrast(text, ground) for text in found["texts"] for ground in grounds) >= 4.5  # WCAG 2.2 AA, text
    assert len(found["lines"]) >= 10
    lines = {line: contrast(line, found["card"]) for line in found["lines"]}
    # The two lightest of Okabe and Ito's colours are below 3 on white: a dash and a marker tell those lines, too.
    assert sorted(lines.values())[2 if scheme == "light" else 0] >= 3


def test_keys_reach_everything_that_can_be_pressed(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["collapse"], DESK)
    unnamed = browser.run(
        """return [...document.querySelectorAll("button, summary, a")]
          .filter((each) => each.tabIndex < 0 || !each.textContent.trim()).map((each) => each.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    levels = browser.run("return [...document.querySelectorAll('h1, h2, h3')].map((each) => Number(each.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
