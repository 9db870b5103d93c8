"""A page as a test reads it: tags, text outside scripts, and what Plotly is given."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="module")
def small_plotly() -> Iterator[None]:
    """Pages without the 5 MB of chart library, which no test here looks into."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plotly.offline.get_plotlyjs", lambda: "/* Plotly */")
        yield


class Page(HTMLParser):
    """A page as tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(source)
        self.specs: list[dict[str, Any]] = [
            json.loads(html.unescape(spec), parse_constant=_refuse)
            for spec in re.findall(r'data-spec="([^"]*)"', source)
        ]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def _refuse(constant: str) -> None:
    raise AssertionError(f"a chart holds {constant}, which browsers do not read")
