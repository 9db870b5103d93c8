"""Labels of texts that were seen before: a policy that collapses writes the same text again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

MOST_REMEMBERED = 20_000
"""Texts; what is over goes, oldest first."""


class Remembered:
    """A function of texts that is called once for equal ones.

    Args:
        compute: Labels of texts, each of which depends on that text alone.
        most: Texts whose labels are kept.
    """

    def __init__(self, compute: Callable[[list[str]], list[str]], most: int = MOST_REMEMBERED) -> None:
        self._compute = compute
        self._most = most
        self._known: dict[str, str] = {}

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Labels of ``texts``, in their order."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(fresh, self._compute(fresh), strict=True))
        found = [self._known[text] for text in texts]
        for text in list(self._known)[: max(0, len(self._known) - self._most)]:
            del self._known[text]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without what is remembered: another process that labels finds its own."""
        return {**self.__dict__, "_known": {}}

    def forget(self) -> None:
        """Forget all: the function has changed."""
        self._known.clear()
