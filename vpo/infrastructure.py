"""The machinery failed, not what it was to judge: a score would be wrong, and trying again may help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class InfrastructureError(RuntimeError):
    """A worker was lost, a node died, a server is gone.

    Attributes:
        found: Where several things were asked for at once: what was found of each, in order, None where nothing was.
            Empty if nothing is known of any.
    """

    def __init__(self, message: str, found: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.found = tuple(found)


RETRIED: tuple[type[Exception], ...] = (InfrastructureError, ConnectionError)
"""Errors after which the same may be tried again."""
