"""What differs between two records, entry by entry: of a resumed run and its beginning, or of two runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """An entry that differs.

    Attributes:
        name: Path of the entry, as ``settings.training.beta``.
        before: There; None if it was not there, or was None.
        now: Here; the same.
    """

    name: str
    before: Any
    now: Any


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Path -> value of everything in nested mappings; lists are values, and so is an empty mapping."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Entries that differ, by name; one that is missing counts as None, as an option that has come since does."""
    old, new = flattened(before), flattened(now)
    names = sorted(old.keys() | new.keys())
    return [Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]
