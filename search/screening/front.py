"""The best rewards so far under several weightings, and how far a vector is ahead of them.

A vector matters if it beats the best under *some* weighting of its components: that is what a set reward pays for
(arXiv 2605.22817). Looked at are the problem's own scalar and, with several components, weightings drawn uniformly from
the simplex. Leads are counted in standard deviations of what was found under the same weighting, so that weightings,
and problems, compare. Letters: N vectors, D components, V views (weightings, the scalar first).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NUM_WEIGHTINGS = 16
_TINY = 1e-9  # in standard deviations: below it two rewards are the same


class Front:
    """Best so far under each weighting.

    Args:
        seed: Draws the weightings.
        most: Vectors that the standard deviations are taken over, the latest.
    """

    def __init__(self, seed: int, most: int = 256) -> None:
        self._seed, self._most = seed, most
        self._weightings: Array | None = None
        self._best: Array | None = None  # (V,)
        self._recent: Array | None = None  # (most, V), the oldest is replaced
        self._num = 0
        self._scale: Array | None = None

    @property
    def empty(self) -> bool:
        """Whether there is no best yet."""
        return self._best is None

    def add(self, vectors: Array, scalars: Array) -> None:
        """Take in what valid answers really earned.

        Args:
            vectors: (N, D).
            scalars: (N,) their scalars.
        """
        if not len(vectors):
            return
        views = self._views(vectors, scalars)
        top = views.max(axis=0)
        self._best = top if self._best is None else np.maximum(self._best, top)
        if self._recent is None:
            self._recent = np.zeros((self._most, views.shape[1]))
        self._recent[(self._num + np.arange(len(views))) % self._most] = views
        self._num += len(views)
        spread = self._recent[: self._num].std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)

    def leads(self, vectors: Array, scalars: Array) -> Array:
        """How far each vector is ahead under the weighting that favours it most; negative if it is behind under all.

        Args:
            vectors: (N, D), real or foreseen.
            scalars: (N,) their scalars.

        Returns:
            (N,) leads in standard deviations; infinite while nothing is known.
        """
        if self._best is None or self._scale is None:
            return np.full(len(vectors), np.inf)
        leads: Array = ((self._views(vectors, scalars) - self._best) / self._scale).max(axis=1, initial=-np.inf)
        return leads

    def beaten_by(self, leads: Array) -> NDArray[np.bool_]:
        """(N,) whether such a lead is a real one."""
        return leads > _TINY

    def _views(self, vectors: Array, scalars: Array) -> Array:
        num = vectors.shape[1]
        if num == 1:
            return np.asarray(scalars)[:, None]
        if self._weightings is None:
            self._weightings = np.random.default_rng(self._seed).dirichlet(np.ones(num), _NUM_WEIGHTINGS)
        return np.concatenate([np.asarray(scalars)[:, None], vectors @ self._weightings.T], axis=1)
