"""Uncertainty of a mean: over prompts by the bootstrap, over seeds by the standard error.

The unit that is resampled is the prompt: answers to one prompt are not independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Band:
    """Means with a percentile interval, each (T,)."""

    mean: NDArray[np.float64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]


def bootstrap_band(values: ArrayLike, num: int = 1000, level: float = 0.95, seed: int = 0) -> Band:
    """Percentile band of the mean over prompts.

    Args:
        values: (P, T): one row a prompt, one column a position on the curve. The same prompts are resampled for all
            columns, so the band follows the curve.
        num: Resamples.
        level: Coverage of each point's interval.
        seed: Seed of the resamples.

    Raises:
        ValueError: Not two dimensions, no prompt, NaN, or a level outside (0, 1).
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"values has shape {array.shape}: expected (P, T), at least one prompt, all numbers finite.")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: expected a share in (0, 1), such as 0.95.")
    counts = np.random.default_rng(seed).multinomial(len(array), np.full(len(array), 1 / len(array)), size=num)
    means = counts @ array / len(array)  # (num, T)
    tail = 50 * (1 - level)
    lo, hi = np.percentile(means, [tail, 100 - tail], axis=0)
    return Band(array.mean(axis=0), lo, hi)


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    mean: float
    se: float

    def __str__(self) -> str:
        """As ``.678 +- .012``; without an error where one value gives none."""
        return f"{self.mean:.3f}" if math.isnan(self.se) else f"{self.mean:.3f} +- {self.se:.3f}"


def mean_and_error(values: Sequence[float]) -> Estimate:
    """Mean over independent repeats (seeds) and its standard error; the error of a single value is NaN.

    Raises:
        ValueError: There is no value.
    """
    if len(values) == 0:
        raise ValueError("there are no values to average: expected one for each seed.")
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(np.mean(values)), spread)
