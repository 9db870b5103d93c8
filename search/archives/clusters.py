"""Clusters of FunSearch (Romera-Paredes et al. 2024): answers that earn the same reward vector, the short ones first.

A cluster is drawn by its scalar through a softmax whose temperature falls, then an answer of it by its length.
Departure: a cluster keeps its shortest few answers, not all, because the long ones are hardly ever drawn.
"""

from __future__ import annotations

import bisect
import random

import numpy as np

from search.archives.columns import Columns
from search.records import Candidate, Vector
from search.selection.draws import draw, softmax


class Clusters:
    """The answers of one island, by reward vector.

    Args:
        cluster_size: Most answers that a cluster keeps.

    Attributes:
        num_added: Answers seen, those that were not kept included.
        best: The candidate of highest scalar; None while empty.
    """

    def __init__(self, cluster_size: int = 16) -> None:
        self.cluster_size = cluster_size
        self.num_added = 0
        self.best: Candidate | None = None
        self._index: dict[Vector, int] = {}
        self._answers: list[list[Candidate]] = []  # of each cluster, shortest first
        self._scalars = Columns()

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, candidate: Candidate) -> None:
        """Admit an answer to the cluster of its vector; one that is there already only counts."""
        self.num_added += 1
        if self.best is None or candidate.scalar > self.best.scalar:
            self.best = candidate
        index = self._index.setdefault(candidate.vector, len(self._answers))
        if index == len(self._answers):
            self._answers.append([])
            self._scalars.append((candidate.scalar,))
        cluster = self._answers[index]
        if all(candidate.answer != other.answer for other in cluster):
            bisect.insort(cluster, candidate, key=lambda other: len(other.answer))
            del cluster[self.cluster_size :]

    def pick(self, num: int, temperature: float, rng: random.Random) -> list[Candidate]:
        """Draw answers from ``num`` different clusters, as far as there are as many; the best scalar comes last."""
        scalars = self._scalars.values[0]
        weights = softmax(scalars, temperature)
        chosen: list[int] = []
        while len(chosen) < min(num, len(self)):
            if not weights.any():  # all the others underflowed: they are equally unlikely
                weights = np.ones(len(self))
                weights[chosen] = 0.0
            chosen.append(draw(weights, rng))
            weights[chosen[-1]] = 0.0
        chosen.sort(key=lambda index: scalars[index])
        return [self._answer(index, rng) for index in chosen]

    def _answer(self, index: int, rng: random.Random) -> Candidate:
        cluster = self._answers[index]
        lengths = np.array([len(candidate.answer) for candidate in cluster], dtype=np.float64)
        lengths = (lengths - lengths.min()) / (lengths.max() + 1e-6)  # as published: relative to the longest
        return cluster[draw(softmax(-lengths, 1.0), rng)]
