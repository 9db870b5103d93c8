"""A population of distinct reward vectors: two answers that earn the same are one member.

The shorter answer stands for its vector, as in FunSearch; the earlier one if they tie. Beyond the capacity the
population loses first what dominated members it has, for those lexicase and Pareto selection never choose: the one
with the fewest shared wins, among equals the one with the lowest ranks, then the oldest. So the only one to pass some
test is kept however little else it can do. The state is a fold over the answers, whichever way they are grouped. All
comparisons are within one component, so the scale of rewards does not matter. Letters: N members, D components.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.archives.columns import Columns
from search.records import Candidate, Vector
from search.selection.dominance import shared_wins


class SignaturePopulation:
    """Members with distinct reward vectors.

    Args:
        capacity: Most members, None for no limit.

    Attributes:
        members: The representatives; a member's index is its column.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.members: list[Candidate] = []
        self._index: dict[Vector, int] = {}
        self._columns = Columns()
        self._is_dominated = Columns()  # one row: 1.0 if somebody in here dominates the member

    def __len__(self) -> int:
        return len(self.members)

    @property
    def columns(self) -> NDArray[np.float64]:
        """(D, N) rewards by component."""
        return self._columns.values

    @property
    def is_dominated(self) -> NDArray[np.bool_]:
        """(N,) whether another member dominates this one."""
        flags: NDArray[np.bool_] = self._is_dominated.values[0] > 0
        return flags

    def add(self, candidate: Candidate) -> bool:
        """Admit a new vector, or a shorter answer for a known one.

        Returns:
            Whether the candidate is a member now.
        """
        known = self._index.get(candidate.vector)
        if known is not None:
            shorter = len(candidate.answer) < len(self.members[known].answer)
            if shorter:
                self.members[known] = candidate
            return shorter
        self._append(candidate)
        if self.capacity is not None and len(self.members) > self.capacity:
            self._remove(self._least_needed())
            return candidate.vector in self._index
        return True

    def _append(self, candidate: Candidate) -> None:
        dominated = 0.0
        if self.members:
            vector = np.asarray(candidate.vector)[:, None]
            # No vector occurs twice, so "as good everywhere" is dominance
            dominated = float((self.columns >= vector).all(axis=0).any())
            self._is_dominated.values[0, (self.columns <= vector).all(axis=0)] = 1.0
        self._index[candidate.vector] = len(self.members)
        self.members.append(candidate)
        self._columns.append(candidate.vector)
        self._is_dominated.append((dominated,))

    def _remove(self, index: int) -> None:
        # A dominated member leaves no one undominated that it dominated: dominance is transitive. An undominated one
        # leaves only when there is no dominated member at all. So the flags stay right.
        last = self.members.pop()
        del self._index[last.vector if index == len(self.members) else self.members[index].vector]
        if index < len(self.members):
            self.members[index] = last
            self._index[last.vector] = index
        self._columns.swap_remove(index)
        self._is_dominated.swap_remove(index)

    def _least_needed(self) -> int:
        eligible = np.flatnonzero(self.is_dominated)
        if len(eligible) == 0:
            eligible = np.arange(len(self.members))
        points = shared_wins(self.columns.T)[eligible]
        eligible = eligible[points <= points.min() + 1e-9]  # sums of reciprocals: equal ones may differ in the last bit
        if len(eligible) > 1:
            ranks = _dense_ranks(self.columns)[:, eligible].sum(axis=0)
            eligible = eligible[ranks == ranks.min()]
        return int(min(eligible, key=lambda index: self.members[index].id))  # the oldest has had its turn


def _dense_ranks(columns: NDArray[np.float64]) -> NDArray[np.intp]:
    """(D, N) how many distinct rewards of the same component are lower."""
    order = np.argsort(columns, axis=1)
    ascending = np.take_along_axis(columns, order, axis=1)
    steps = np.zeros(columns.shape, dtype=np.intp)
    steps[:, 1:] = np.cumsum(ascending[:, 1:] != ascending[:, :-1], axis=1)
    ranks = np.empty_like(steps)
    np.put_along_axis(ranks, order, steps, axis=1)
    return ranks
