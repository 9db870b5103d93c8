"""Checks of a procedure's options at the door: each says what was wrong, what was expected and how to mend it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def check_share(name: str, value: Any, hint: str) -> None:
    """Hold ``value`` to [0, 1].

    Raises:
        ValueError: It is no number, or lies outside.
    """
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}, expected a share in [0, 1]: {hint}")


def check_count(name: str, value: Any, least: int, hint: str) -> None:
    """Hold ``value`` to integers from ``least`` on.

    Raises:
        ValueError: It is no integer, or too small.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}: {hint}")


def check_non_negative(name: str, value: Any, hint: str) -> None:
    """Hold ``value`` to finite numbers that are not negative.

    Raises:
        ValueError: It is not such a number.
    """
    if not _is_number(value) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}, expected a finite number >= 0: {hint}")


def check_choice(name: str, value: Any, choices: Sequence[str], hint: str) -> None:
    """Hold ``value`` to a closed list.

    Raises:
        ValueError: It is not on it.
    """
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(map(repr, choices))}: {hint}")


def name_of(function: Any) -> str:
    """How a user's function is named in ``describe()``."""
    return str(getattr(function, "__qualname__", type(function).__name__))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
