"""The report page as a reader gets it: drawn by Chromium at desk and phone width, nothing overlapping or cut off.

Device metrics are emulated through the DevTools protocol, because a headless window is never narrower than 500 pixels.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.report import DemoReport, write
from eval.report.comparison import write_comparison
from tests.eval.comparison_example import example_comparison
from tests.eval.report_example import example_report, hostile_report
from tests.eval.search_example import example_searches
from vpo.cli.search_compare.command import write_searches

webdriver = pytest.importorskip("selenium.webdriver", reason="needs the selenium package (extra `dev`)")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: chromium)"),
    pytest.mark.skipif(DRIVER is None, reason="needs ChromeDriver (Debian: chromium-driver)"),
]

DESK, TABLET, PHONE = 1280, 768, 390
REPORTS = {"example": example_report, "hostile": hostile_report}
PAGES = [*REPORTS, "comparison", "search-comparison"]

# Boxes that a reader must see apart. Within a chart: its titles and tick labels; on the page: what follows each other.
BOXES = """
const box = (element) => {
  const { left, top, right, bottom } = element.getBoundingClientRect();
  const name = `${element.tagName} ${element.getAttribute("class")} ${element.textContent.trim().slice(0, 40)}`;
  return { name, left, top, right, bottom };
};
const boxes = (root, selector) => [...root.querySelectorAll(selector)].map(box).filter((b) => b.right > b.left);
const groups = [...document.querySelectorAll(".plot")].map((plot) => ({
  frame: box(plot.closest(".chart")),
  boxes: boxes(plot, ".xtitle, .ytitle, .xtick text, .ytick text").concat(boxes(plot.closest(".chart"), "figcaption")),
}));
groups.push({
  frame: box(document.body),
  boxes: boxes(document, "h1, h2, section > h3, .item > h3, nav a, .card, .legend li, .chart, .panel > *"),
});
document.querySelectorAll(".legend button, .meter li, tbody tr").forEach((each) =>
  groups.push({ frame: box(each), boxes: boxes(each, ":scope > *") }));
return groups;
"""


class Browser:
    """Chromium with a page in it, at a given width and colour scheme."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for switch in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.width = 0
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))

    def open(self, page: Path, width: int, scheme: str = "light") -> None:
        self.width = width
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(page.as_uri())
        deadline = time.monotonic() + 60
        while self.run("return document.documentElement.dataset.drawn") != "true":
            assert time.monotonic() < deadline, f"the charts were not drawn within 60 s: {self.console()}"
            time.sleep(0.05)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def console(self) -> list[str]:
        """What was written to the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.driver.quit()


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
    browser.console(), browser.requests()  # what earlier pages left
    browser.open(pages[name], width)
    return browser


def test_the_console_stays_empty_and_nothing_is_asked_of_a_network(opened: Browser) -> None:
    assert opened.console() == []
    asked = [address for address in opened.requests() if not address.startswith("data:")]
    assert asked == [opened.driver.current_url], "one request, for the page itself"


def test_no_name_is_taken_as_markup(opened: Browser) -> None:
    assert opened.run("return window.broken === undefined")


def test_the_page_is_not_wider_than_its_window(opened: Browser) -> None:
    # Not held against innerWidth: a phone zooms out of a page that is too wide, and innerWidth grows with it.
    assert opened.run("return document.documentElement.scrollWidth") <= opened.width


def test_every_chart_is_drawn_with_titled_axes(opened: Browser) -> None:
    charts = opened.run(
        """return [...document.querySelectorAll(".plot")].map((plot) => {
          const { width, height } = plot.querySelector("svg.main-svg").getBoundingClientRect();
          const marks = plot.querySelectorAll(".scatterlayer .trace, .barlayer .trace").length;
          const titles = [".xtitle", ".ytitle"].map((each) => plot.querySelector(each)?.textContent);
          return { width, height, marks, titles };
        })"""
    )
    assert len(charts) >= (2 if "comparison" in opened.driver.current_url else 8)
    for chart in charts:
        assert chart["width"] >= 250
        assert chart["height"] >= 200
        assert chart["marks"] >= 1
        assert all(title and len(title) >= 5 for title in chart["titles"])


def test_nothing_overlaps_and_nothing_is_cut_off(opened: Browser) -> None:
    faults = []
    for group in opened.run(BOXES):
        frame, boxes = group["frame"], group["boxes"]
        faults += [f"{box['name']!r} leaves {frame['name']!r}" for box in boxes if not lies_within(box, frame)]
        pairs = [(one, other) for index, one in enumerate(boxes) for other in boxes[:index]]
        faults += [f"{one['name']!r} over {other['name']!r}" for one, other in pairs if overlap(one, other)]
    assert faults == []


def test_words_are_large_enough_to_read(opened: Browser) -> None:
    smallest = opened.run(
        """return Math.min(...[...document.querySelectorAll("p, dd, dt, td, th, li, figcaption, .plot text")]
          .filter((each) => each.textContent.trim() && each.getClientRects().length)
          .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""
    )
    assert smallest >= 12


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


def lies_within(box: dict[str, float], frame: dict[str, float]) -> bool:
    room = 1.0  # pixel: edges are rounded
    return (
        box["left"] >= frame["left"] - room
        and box["right"] <= frame["right"] + room
        and box["top"] >= frame["top"] - room
        and box["bottom"] <= frame["bottom"] + room
    )


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    room = 1.0
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return across > room and down > room


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, 0 = black to 1 = white (WCAG 2.2)."""
    channels = [int(each) / 255 for each in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
