"""Weightings at the corners of the simplex: one component decides, the limit of a Dirichlet as alpha goes to 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vpo.weightings.protocol import check_draw, is_real, shares


@dataclass(frozen=True)
class Corners:
    """One component has all the weight.

    With K a multiple of D and no centre every component comes up equally often (stratified draws): the mean over the
    weightings is then the exact expectation.
    """

    def draw(self, num: int, dim: int, seed: int, center: Sequence[float] | None = None) -> Tensor:
        """Draw ``num`` corners; see `Weighting.draw`. A component comes up in proportion to its share of ``center``."""
        check_draw(num, dim, seed)
        rng = np.random.default_rng(seed)
        # Systematic sampling: K equidistant points, shifted together, over the cumulated shares.
        points = (np.arange(num) + rng.random()) / num
        edges = np.cumsum(shares(center, dim))
        edges[-1] = 1.0
        chosen = rng.permutation(np.minimum(np.searchsorted(edges, points, side="right"), dim - 1))
        return torch.from_numpy(np.eye(dim, dtype=np.float32)[chosen])


@dataclass(frozen=True)
class Lexicase:
    """A random order of the components, each weighing ``ratio`` times less than the one before (lexicase selection).

    The first decides, the second among those level on the first, and so on: exactly lexicase (Spector, 2012) for
    components with a step of more than ``ratio / (1 - ratio)``, such as tests passed or failed with ratio 0.3. Unlike
    `Corners` it does not pay for an answer that solves one component and nothing else where another solves more.

    Attributes:
        ratio: In (0, 1).

    Raises:
        ValueError: ``ratio`` is not in (0, 1).
    """

    ratio: float = 0.3

    def __post_init__(self) -> None:
        if not is_real(self.ratio) or not 0 < self.ratio < 1:
            raise ValueError(f"ratio is {self.ratio!r}: expected a number between 0 and 1. Use 0.3.")

    def draw(self, num: int, dim: int, seed: int, center: Sequence[float] | None = None) -> Tensor:
        """Draw ``num`` orders; see `Weighting.draw`. Of ``center`` it matters only which components are not 0."""
        check_draw(num, dim, seed)
        present = np.flatnonzero(shares(center, dim))
        rng = np.random.default_rng(seed)
        ranks = rng.random((num, len(present))).argsort(axis=1).argsort(axis=1)
        weights = np.power(float(self.ratio), ranks)
        drawn = np.zeros((num, dim), dtype=np.float32)
        drawn[:, present] = weights / weights.sum(axis=1, keepdims=True)
        return torch.from_numpy(drawn)
