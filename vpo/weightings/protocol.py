"""What a distribution over weightings offers, and the checks that all of them make."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor


class Weighting(Protocol):
    """A distribution over weightings, with its own number of rows per draw."""

    def draw(self, num: int, dim: int, seed: int, center: Sequence[float] | None = None) -> Tensor:
        """Draw weightings.

        Args:
            num: How many weightings the caller asks for, K >= 1.
            dim: Number of components, D >= 1.
            seed: 0 <= seed < 2**63; the same arguments always give the same weightings.
            center: D numbers, at least 0 and not all 0: what the mean weighting is proportional to. A component with 0
                has weight 0 in every draw, as if it were not there. None for all alike.

        Returns:
            (K, D) float32 CPU tensor.
        """
        ...


def check_draw(num: int, dim: int, seed: int) -> None:
    """Refuse arguments that no draw can have."""
    if num < 1:
        raise ValueError(f"num is {num}: expected at least 1 weighting. The paper uses 100.")
    if dim < 1:
        raise ValueError(f"dim is {dim}: expected at least 1 reward component. Give a reward function.")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}: expected 0 <= seed < 2**63. Use weighting_seed(seed, step, prompt_key).")


def shares(center: Sequence[float] | None, dim: int) -> np.ndarray:
    """(D,) non-negative shares that sum to 1: ``center`` normalised, or equal ones.

    Raises:
        ValueError: ``center`` has another length, holds a negative or infinite number, or only zeros.
    """
    if center is None:
        return np.full(dim, 1 / dim)
    values = np.asarray(center, dtype=np.float64)
    if values.shape != (dim,) or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError(
            f"the centre of the weightings is {list(center)}: expected {dim} numbers of at least 0, one a component "
            "and not all 0. Weights of deployment that are negative have no Dirichlet around them."
        )
    return values / values.sum()


def is_real(value: object) -> bool:
    """Whether this is a number and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
