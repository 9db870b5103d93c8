"""Uncertainty of a mean: over prompts by the bootstrap, over seeds by the standard error.

The unit that is resampled is the prompt: answers to one prompt are not independent of each other, so resampling answers
would give intervals that are too narrow. Percentile intervals, without the BCa correction: on a hundred prompts or more
they agree with it, below that neither is to be relied on.

Shape letters: P prompts, T positions on a curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_BLOCK = 1 << 22  # resampling counts held at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """A mean over prompts with its uncertainty; of a single prompt ``lo``, ``hi`` and ``se`` are NaN.

    Attributes:
        mean: The mean of the values at hand.
        lo: Lower end of the percentile interval.
        hi: Upper end.
        se: Standard error: the spread of the resampled means.
    """

    mean: float
    lo: float
    hi: float
    se: float


@dataclass(frozen=True)
class Band:
    """:class:`Interval` for each of T positions; every field is (T,)."""

    mean: Array
    lo: Array
    hi: Array
    se: Array


@dataclass(frozen=True)
class Estimate:
    """A mean over independent repeats and its standard error; the error of a single value is NaN."""

    mean: float
    se: float

    def __str__(self) -> str:
        """As ``0.678 +- 0.012``, or the mean alone where a single value gives no error."""
        return f"{self.mean:.3f}" if math.isnan(self.se) else f"{self.mean:.3f} +- {self.se:.3f}"


def bootstrap_mean(values: ArrayLike, num: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean over prompts with a bootstrap interval.

    Args:
        values: (P,) one value a prompt, such as its best@k.
        num: Resamples.
        level: Coverage of the interval, in (0, 1).
        seed: Seed of the resamples; the same seed gives the same interval.

    Returns:
        The mean and its interval, in the unit of the values.

    Raises:
        ValueError: Not one dimension, no prompt, a value that is not finite, or ``num`` or ``level`` out of range.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"values has shape {array.shape}: expected (P,). Use bootstrap_band for curves.")
    band = bootstrap_band(array[:, None], num, level, seed)
    return Interval(float(band.mean[0]), float(band.lo[0]), float(band.hi[0]), float(band.se[0]))


def bootstrap_band(values: ArrayLike, num: int = 1000, level: float = 0.95, seed: int = 0) -> Band:
    """Curve of means over prompts with a pointwise bootstrap band.

    Args:
        values: (P, T): a row a prompt, a column a position. The same prompts are drawn for all columns.
        num: Resamples.
        level: Coverage at each position by itself; the whole curve leaves the band more often.
        seed: Seed of the resamples.

    Returns:
        Means and intervals, (T,).

    Raises:
        ValueError: Not two dimensions, no prompt, a value that is not finite, or ``num`` or ``level`` out of range.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"values has shape {array.shape}: expected (P, T) with a prompt at least, all numbers finite. Leave out "
            "prompts without a value, and say how many they were."
        )
    if num < 2 or not 0 < level < 1:
        raise ValueError(f"num is {num}, level is {level}: expected num >= 2 and 0 < level < 1. Use 1000 and 0.95.")
    mean = array.mean(axis=0)
    if len(array) == 1:  # one prompt says nothing about the spread between prompts
        nothing = np.full_like(mean, np.nan)
        return Band(mean, nothing, nothing, nothing)
    means = resampled_means(array, num, seed)
    tail = (1 - level) / 2
    lo, hi = np.quantile(means, [tail, 1 - tail], axis=0)
    return Band(mean, lo, hi, means.std(axis=0, ddof=1))


def paired_difference(a: ArrayLike, b: ArrayLike, num: int = 1000, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean of ``a - b`` over prompts that both were measured on, with a bootstrap interval.

    Far narrower than the difference of two separate intervals: what makes a prompt easy, it makes easy for both.

    Args:
        a: (P,) values of one policy.
        b: (P,) values of the other, for the same prompts in the same order.
        num: Resamples.
        level: Coverage of the interval.
        seed: Seed of the resamples.

    Returns:
        The mean difference and its interval; it excludes 0 where the policies differ.

    Raises:
        ValueError: The shapes differ, or as :func:`bootstrap_mean`.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(
            f"a has shape {first.shape} and b {second.shape}: expected the same prompts in both. Measure both policies "
            "on one list of prompts."
        )
    return bootstrap_mean(first - second, num, level, seed)


def mean_and_error(values: Sequence[float]) -> Estimate:
    """Mean over independent repeats (seeds) and its standard error, with n - 1 in the variance.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError("there are no values to average: expected one for each seed. Give at least one.")
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"values are {array.tolist()}: expected one finite number for each seed. Drop failed runs.")
    spread = float(array.std(ddof=1)) / math.sqrt(array.size) if array.size > 1 else math.nan
    return Estimate(float(array.mean()), spread)


def resampled_means(array: Array, num: int, seed: int) -> Array:
    """Means over prompts drawn with replacement, for statistics that are functions of several means.

    Args:
        array: (P, T) finite values, a row a prompt.
        num: Resamples.
        seed: Of the resamples; the same prompts are drawn for all columns.

    Returns:
        (num, T).
    """
    # How often each prompt was drawn is multinomial
    rng = np.random.default_rng(seed)
    prompts = len(array)
    block = max(1, _BLOCK // prompts)
    chances = np.full(prompts, 1 / prompts)
    centered = array - array.mean(axis=0)  # keeps the spread exact where the mean is large
    parts = [
        rng.multinomial(prompts, chances, size=min(block, num - done)) @ centered / prompts
        for done in range(0, num, block)
    ]
    return np.asarray(np.concatenate(parts) + array.mean(axis=0))
