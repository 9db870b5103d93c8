"""A population by dominated novelty (Bahlous-Boldi et al., arXiv 2502.00593): the fit, and those far from the fitter.

Whoever has the lowest score leaves: the one that lies closest to candidates fitter than itself. Answers are admitted
one by one, where the paper merges a whole generation, so the state does not depend on how results were grouped.
Letters: N members, B dimensions of the descriptor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.archives.columns import Columns
from search.records import Candidate, Vector
from search.selection.novelty import novelty_of


class NoveltyArchive:
    """The ``capacity`` candidates of highest dominated novelty.

    Args:
        capacity: Most members.
        num_neighbors: Over how many fitter neighbours the distance is averaged.

    Attributes:
        members: The candidates.
    """

    def __init__(self, capacity: int, num_neighbors: int = 3) -> None:
        self.capacity = capacity
        self.num_neighbors = num_neighbors
        self.members: list[Candidate] = []
        self._places = Columns()
        self._fitness = Columns()
        self._distances = np.empty((0, 0))  # of members, with room for one more
        self._answers: set[str] = set()

    def __len__(self) -> int:
        return len(self.members)

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) dominated novelty of the members."""
        num = len(self.members)
        return novelty_of(self._distances[:num, :num], self._fitness.values[0], self.num_neighbors)

    def add(self, candidate: Candidate, descriptor: Vector) -> bool:
        """Admit a candidate, and let the least novel one go if there are too many; known answers are not admitted.

        Returns:
            Whether the candidate is a member now.
        """
        if candidate.answer in self._answers:
            return False
        num = len(self.members)
        if num == len(self._distances):
            grown = np.zeros((max(16, 2 * num), max(16, 2 * num)))
            grown[:num, :num] = self._distances
            self._distances = grown
        self.members.append(candidate)
        self._answers.add(candidate.answer)
        self._places.append(descriptor)
        self._fitness.append((candidate.scalar,))
        row = np.linalg.norm(self._places.values - np.asarray(descriptor)[:, None], axis=0)
        self._distances[num, : num + 1] = self._distances[: num + 1, num] = row
        if num < self.capacity:
            return True
        gone = self._least_novel()
        self._remove(gone)
        return gone != num

    def _least_novel(self) -> int:
        scores, fitness = self.scores, self._fitness.values[0]
        eligible = np.flatnonzero(scores == scores.min())
        eligible = eligible[fitness[eligible] == fitness[eligible].min()]
        return int(min(eligible, key=lambda index: self.members[index].id))  # the oldest has had its turn

    def _remove(self, index: int) -> None:
        self._answers.discard(self.members[index].answer)
        last = self.members.pop()
        num = len(self.members)
        self._places.swap_remove(index)
        self._fitness.swap_remove(index)
        if index < num:
            self.members[index] = last
            self._distances[index, :num] = self._distances[num, :num]
            self._distances[:num, index] = self._distances[:num, num]
            self._distances[index, index] = 0.0
