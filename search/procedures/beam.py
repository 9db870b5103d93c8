"""Beam search over revisions: every member of the beam is varied a few times, the best of all children go on.

As in tree of thoughts by breadth first (Yao et al., arXiv 2305.10601), with whole answers as nodes and the scalar as
their value. A level ends once width * expand completions have been told. Whatever is asked beyond that, or comes late,
joins the level at which it is told, so a driver with many requests in flight never waits.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from search.procedures.options import check_count
from search.procedures.proposing import valid, varied
from search.procedures.protocol import Vary
from search.records import Candidate, Proposal, Result


class Beam:
    """The best ``width`` answers, each varied ``expand`` times a level.

    Args:
        vary: ``Problem.vary``, or any function like it.
        width: Answers that go on to the next level.
        expand: Completions per member and level; the first level draws width * expand from the bare prompt.
        keep_parents: Whether the beam competes with its children, so that its best is never lost.

    Attributes:
        beam: Its members, best first: highest scalar, then the shorter answer, then the earlier one.
        level: Levels that have ended.

    Raises:
        ValueError: ``width`` or ``expand`` is below 1.
    """

    def __init__(self, vary: Vary, *, width: int = 4, expand: int = 4, keep_parents: bool = True) -> None:
        check_count("width", width, 1, "4 is the default.")
        check_count("expand", expand, 1, "4 is the default.")
        self.width, self.expand, self.keep_parents = width, expand, keep_parents
        self.beam: list[Candidate] = []
        self.level = 0
        self._children: dict[str, Candidate] = {}  # of this level, by answer
        self._num_told: Counter[int] = Counter()  # completions of this level, by parent
        self._vary = vary

    def ask(self, num: int, rng: random.Random, pending: Sequence[Proposal] = ()) -> list[Proposal]:
        """Vary those members that have the fewest children, told or on their way."""
        if not self.beam:
            return [Proposal() for _ in range(num)]
        counts = self._num_told + Counter(parent for proposal in pending for parent in proposal.parents)
        proposals = []
        for _ in range(num):
            parent = min(self.beam, key=lambda member: counts[member.id])  # the best one of equals
            counts[parent.id] += 1
            proposals.append(varied(self._vary, parent, (), rng))
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """Collect children; end the level when there are enough."""
        for result in results:
            # A parent that could not be varied gave a free draw, which is nobody's child but counts all the same
            self._num_told[result.proposal.parents[0] if result.proposal.parents else -1] += 1
            for candidate in valid(result):
                self._children.setdefault(candidate.answer, candidate)
            if self._num_told.total() >= (len(self.beam) or self.width) * self.expand:
                self._end_level()

    def _end_level(self) -> None:
        kept = {member.answer: member for member in self.beam} if self.keep_parents else {}
        everybody = list({**self._children, **kept}.values())
        # A level without a valid answer leaves the beam as it is
        if everybody:
            everybody.sort(key=lambda candidate: (-candidate.scalar, len(candidate.answer), candidate.id))
            self.beam = everybody[: self.width]
        self.level += 1
        self._children.clear()
        self._num_told.clear()

    def describe(self) -> dict[str, Any]:
        """Name and settings."""
        return {"name": "beam", "width": self.width, "expand": self.expand, "keep_parents": self.keep_parents}
