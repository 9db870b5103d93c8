"""One line of `vpo doctor`: what was looked at, what is there, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

_STYLES = {"ok": None, "note": "yellow", "missing": "red"}


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Attributes:
        level: ``ok``; ``note``: it works, and this is worth knowing; ``missing``: something is not there that the line
            is about, which for an optional part is no fault.
        name: What was looked at.
        found: What is there.
        cure: What to do, "" where nothing needs doing.
    """

    level: Literal["ok", "note", "missing"]
    name: str
    found: str
    cure: str = ""


def findings_table(title: str, findings: Sequence[Finding]) -> Table:
    """A table of findings, in their order."""
    table = Table("", "what", "here", "cure", title=title)
    for each in findings:
        table.add_row(each.level, each.name, each.found, each.cure, style=_STYLES[each.level])
    return table
