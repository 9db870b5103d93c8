"""Building an object by the name that a configuration chooses it by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def build(kind: str, known: Mapping[str, Callable[..., T]], name: str, options: Mapping[str, Any]) -> T:
    """The object of a name.

    Args:
        kind: What it is, for messages.
        known: Name -> class.
        name: The name chosen.
        options: Fields of the class.

    Raises:
        ValueError: The name, or an option's value, is unknown.
        TypeError: The class has no such option.
    """
    if name not in known:
        raise ValueError(f"{kind} is {name!r}: expected one of {', '.join(sorted(known))}.")
    try:
        return known[name](**options)
    except TypeError as error:
        raise TypeError(
            f"{kind} {name!r} does not take the options {sorted(options)}: {error}. Take out what it does not know."
        ) from error
