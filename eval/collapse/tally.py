"""Counts of a look, prompt by prompt: all that measures and evidence need of its samples.

Shape letters: N samples, P prompts, K labels, C completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.samples import Samples

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """Which samples belong to which prompt.

    Attributes:
        ids: P prompt ids, in order of appearance.
        index: (N,) prompt of each sample.
        sizes: (P,) samples of each prompt.
        completions: (N,) completion of each sample, counted from 0 without gaps.
    """

    ids: tuple[str, ...]
    index: Indices
    sizes: Indices
    completions: Indices

    @classmethod
    def of(cls, samples: Samples) -> Groups:
        """Group the samples of a look."""
        places: dict[str, int] = {}
        index = np.array([places.setdefault(each, len(places)) for each in samples.prompt_ids], dtype=np.int64)
        completions = np.unique(samples.completions, return_inverse=True)[1].astype(np.int64)
        return cls(tuple(places), index, np.bincount(index, minlength=len(places)), completions)

    @cached_property
    def members(self) -> list[Indices]:
        """Samples of each prompt."""
        order = np.argsort(self.index, kind="stable")
        return list(np.split(order, np.cumsum(self.sizes)[:-1]))


@dataclass(frozen=True, eq=False)
class Tally:
    """Labels of one facet, counted.

    Attributes:
        labels: K labels, in the order of their first sample.
        counts: (P, K) samples of each prompt with each label.
        graded: (P, K) those of them whose correctness is known.
        correct: (P, K) those that are correct.
    """

    labels: tuple[str, ...]
    counts: Indices
    graded: Indices
    correct: Indices

    @classmethod
    def of(cls, labels: Sequence[str], groups: Groups, correct: Array | None) -> Tally:
        """Count labels.

        Args:
            labels: N labels.
            groups: Prompts of the samples.
            correct: (N,) 1 or 0, NaN where it is not known; None if nothing counts as correct.
        """
        places: dict[str, int] = {}
        column = np.array([places.setdefault(label, len(places)) for label in labels], dtype=np.int64)
        shape = (len(groups.ids), max(len(places), 1))
        cells = groups.index * shape[1] + column

        def count(chosen: NDArray[np.bool_] | None) -> Indices:
            kept = cells if chosen is None else cells[chosen]
            return np.bincount(kept, minlength=shape[0] * shape[1]).reshape(shape)

        nothing = np.zeros(shape, dtype=np.int64)
        graded = nothing if correct is None else count(~np.isnan(correct))
        right = nothing if correct is None else count(correct == 1)
        return cls(tuple(places), count(None), graded, right)

    def column(self, label: str) -> Indices:
        """(P,) counts of a label; zeros for one that no sample has."""
        if label in self.labels:
            return self.counts[:, self.labels.index(label)]
        return np.zeros(len(self.counts), dtype=np.int64)

    @property
    def shares(self) -> dict[str, float]:
        """Label -> mean over prompts of its share of their samples."""
        means = (self.counts / self.counts.sum(axis=1, keepdims=True)).mean(axis=0)
        return dict(zip(self.labels, means.tolist(), strict=True))
