"""The guide to comparing searches, as text."""

from __future__ import annotations

from pathlib import Path

GUIDE = (Path(__file__).parents[4] / "docs" / "search-compare.md").read_text()
