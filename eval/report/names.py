"""Names as charts and tables can hold them: short, and each its own."""

from __future__ import annotations

from collections.abc import Iterable


def shortened(text: str, length: int) -> str:
    """A text cut to a length."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def distinct(names: Iterable[str], reserved: Iterable[str] = ()) -> list[str]:
    """Names in their order, those that were there before with a number behind them.

    Args:
        names: Any, also equal ones.
        reserved: Names that none may have.
    """
    taken, made = set(reserved), []
    for name in names:
        number, own = 1, name
        while own in taken:
            number += 1
            own = f"{name} ({number})"
        taken.add(own)
        made.append(own)
    return made
