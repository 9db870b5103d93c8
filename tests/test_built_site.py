"""The site as it is built: every public name has its place, nothing comes from elsewhere, the search finds pages."""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.checkout import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra `docs`"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def public_names(module: str) -> list[str]:
    path = ROOT / module.replace(".", "/")
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    (listed,) = [
        node for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node.targets[0])
    ]
    return ast.literal_eval(listed.value)


@pytest.mark.parametrize(
    "module", ["trainers", "vpo.looped", "vpo.objective", "vpo.sandbox", "vpo.tasks", "eval.collapse"]
)
def test_every_public_class_and_function_is_documented(site: Path, module: str) -> None:
    pages = "".join(path.read_text() for path in (site / "api").glob("*.html"))
    # A function that is named as its module stands below the module.
    missing = {name for name in public_names(module) if not re.search(rf'id="{module}\.({name}\.)?{name}"', pages)}
    # What is no class or function, and has nothing written below it, is left out.
    assert missing <= {"Credit", "DIVERSITY", "OBJECTIVES", "Scale"}


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"?([^\" >]+)|<link[^>]* href=\"?([^\" >]+)", page.read_text()
        )
        assert [address for pair in loaded for address in pair if re.match(r"(\w+:)?//", address)] == [], page.name
    assert not list(site.rglob("*.py")), "scripts of the build are no part of the site"


def test_no_markup_of_docstrings_is_left_in_the_text(site: Path) -> None:
    for page in (site / "api").glob("*.html"):
        assert re.findall(r"\*optional\*|:(?:class|func|mod|meth):", page.read_text()) == [], page.name


def test_the_page_of_numbers_has_its_tables(site: Path) -> None:
    page = (site / "reproduce.html").read_text()
    assert "benchmarks/maze.py" in page and "&lt;!-- the" not in page and "<!-- the" not in page


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    chromium = pytest.importorskip("tests.eval.chromium")
    if chromium.BROWSER is None or chromium.DRIVER is None:
        pytest.skip("needs Chromium and ChromeDriver")
    opened = chromium.Browser(tmp_path)
    yield opened
    opened.driver.quit()


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Keep the tests' output free of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.browser
def test_a_reader_finds_a_page_by_a_word_and_nothing_is_fetched_from_elsewhere(browser: Any, address: str) -> None:
    browser.driver.get(f"{address}/index.html?q=expected_processes")
    deadline = time.monotonic() + 60
    found = "return [...document.querySelectorAll('.md-search-result__link')].map(each => each.getAttribute('href'))"
    while not (links := browser.run(found)):
        assert time.monotonic() < deadline, f"the search found nothing within 60 s: {browser.console()}"
        time.sleep(0.1)
    assert any("launch.html" in link or "troubleshooting.html" in link for link in links)
    browser.driver.get(f"{address}/method.html")
    assert browser.run("return [...document.images].every(each => each.complete && each.naturalWidth > 100)")
    asked = browser.requests()
    assert f"{address}/method.html" in asked
    assert [each for each in asked if not each.startswith((address, "data:", "blob:", "chrome:"))] == []
    assert [line for line in browser.console() if "favicon" not in line] == []


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index", "launch", "reproduce", "troubleshooting"])
def test_a_page_fits_a_phone(browser: Any, address: str, page: str) -> None:
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.driver.get(f"{address}/{page}.html")
    assert browser.run("return document.documentElement.scrollWidth") <= 390
