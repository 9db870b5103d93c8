"""Chromium as tests use it: a page at a given width and colour scheme, its boxes, its colours, what it asked for.

Device metrics are emulated through the DevTools protocol, because a headless window is never narrower than 500 pixels.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs the selenium package (extra `dev`)")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

# Marks of every module that looks at pages.
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium (Debian: chromium)"),
    pytest.mark.skipif(DRIVER is None, reason="needs ChromeDriver (Debian: chromium-driver)"),
]

DESK, TABLET, PHONE = 1280, 768, 390

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


# What is drawn of each chart: its size, its marks, the titles of its axes, and what it shows in words.
CHARTS = """return [...document.querySelectorAll(".plot")].map((plot) => {
  const { width, height } = plot.querySelector("svg.main-svg").getBoundingClientRect();
  const marks = plot.querySelectorAll(".scatterlayer .trace, .barlayer .trace").length;
  const titles = [".xtitle", ".ytitle"].map((each) => plot.querySelector(each)?.textContent);
  return { width, height, marks, titles, name: plot.getAttribute("aria-label").slice(0, 60) };
})"""

# Size of the smallest letters, in pixels.
SMALLEST = """const words = "p, dd, dt, td, th, li, pre, summary, figcaption, .plot text";
return Math.min(...[...document.querySelectorAll(words)]
  .filter((each) => each.textContent.trim() && each.getClientRects().length)
  .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""


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
        asked = [each["params"] for each in events if each["method"] == "Network.requestWillBeSent"]
        # On a busy machine the browser's own first tab is still loading when the first page is opened.
        return [each["request"]["url"] for each in asked if not each["documentURL"].startswith("chrome://")]


def open_anew(browser: Browser, page: Path, width: int) -> Browser:
    """Open a page after reading away what earlier ones left in console and requests."""
    browser.console(), browser.requests()
    browser.open(page, width)
    return browser


def assert_quiet(opened: Browser) -> None:
    """Nothing is said on the console, nothing but the page is asked for, and no name was taken as markup."""
    assert opened.console() == []
    asked = [address for address in opened.requests() if not address.startswith("data:")]
    assert asked == [opened.driver.current_url], "one request, for the page itself"
    assert opened.run("return window.broken === undefined"), "a name was taken as markup"


def faults_of(groups: list[dict[str, Any]]) -> list[str]:
    """What overlaps, and what leaves its frame, among the groups that ``BOXES`` gives."""
    faults = []
    for group in groups:
        frame, boxes = group["frame"], group["boxes"]
        faults += [f"{box['name']!r} leaves {frame['name']!r}" for box in boxes if not lies_within(box, frame)]
        pairs = [(one, other) for index, one in enumerate(boxes) for other in boxes[:index]]
        faults += [f"{one['name']!r} over {other['name']!r}" for one, other in pairs if overlap(one, other)]
    return faults


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
