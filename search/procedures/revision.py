"""Sequential revision: the policy improves on the best answer so far, or on the last one, again and again.

The simplest scheme that learns from what was found (Madaan et al., arXiv 2303.17651; as strong as evolution in
Gideoni, Risi and Gal, arXiv 2602.16805). It climbs one scalar by definition. A batch of n is n revisions of one answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

from search.procedures.options import check_choice
from search.procedures.proposing import valid, varied
from search.procedures.protocol import Vary
from search.records import Candidate, Proposal, Result


class Revision:
    """One chain of revisions.

    Args:
        vary: ``Problem.vary``, or any function like it.
        refine: "best" revises the answer of highest scalar, the earliest of equals; "last" the newest valid answer,
            the best one if its completion held several.

    Attributes:
        current: What the next ask revises; None before the first valid answer, when the bare prompt is drawn from.

    Raises:
        ValueError: ``refine`` is neither.
    """

    def __init__(self, vary: Vary, *, refine: Literal["best", "last"] = "best") -> None:
        check_choice("refine", refine, ("best", "last"), "'best' is the default.")
        self.refine = refine
        self.current: Candidate | None = None
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` revisions of the current answer."""
        if self.current is None:
            return [Proposal() for _ in range(num)]
        return [varied(self._vary, self.current, (), rng) for _ in range(num)]

    def tell(self, results: Sequence[Result]) -> None:
        """Move on to the best, or to the last, answer."""
        for result in results:
            found = max(valid(result), key=lambda candidate: candidate.scalar, default=None)
            if found is not None and (
                self.refine == "last" or self.current is None or found.scalar > self.current.scalar
            ):
                self.current = found

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "revision", "refine": self.refine}
