"""Self-consistency (Wang et al., arXiv 2203.11171): independent draws, and the answer that most of them agree on.

The vote needs no evaluator: this is what one does where rewards are not there at test time. Every answer of a
completion has one vote, whatever its reward and status.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from search.procedures.options import name_of
from search.records import Candidate, Proposal, Result


class SelfConsistency:
    """Majority over canonical answers.

    Args:
        canonical: Answer -> the form in which equal answers are equal, e.g. the number that they state; None for an
            answer that has no vote. By default the answer without surrounding spaces.

    Attributes:
        votes: Canonical answer -> its number of votes, in order of first appearance.
    """

    def __init__(self, canonical: Callable[[str], str | None] = str.strip) -> None:
        self.votes: dict[str, int] = {}
        self._first: dict[str, Candidate] = {}
        self._canonical = canonical

    @property
    def elected(self) -> Candidate | None:
        """The first answer of the largest group, the earlier group of equals; None before the first vote."""
        return self._first[max(self.votes, key=self.votes.__getitem__)] if self.votes else None

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Propose ``num`` draws from the bare prompt."""
        return [Proposal() for _ in range(num)]

    def tell(self, results: Sequence[Result]) -> None:
        """Count the votes."""
        for result in results:
            for candidate in result.candidates:
                form = self._canonical(candidate.answer)
                if form is not None:
                    self.votes[form] = self.votes.get(form, 0) + 1
                    self._first.setdefault(form, candidate)

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "self_consistency", "canonical": name_of(self._canonical)}
