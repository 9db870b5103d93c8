"""How many kinds a policy still writes: effective numbers that a group of eight samples does not distort, Vendi score.

The plug-in ``sum p_k^2`` of eight samples counts each sample as agreeing with itself and makes diversity too small (of
shares .5, .3, .15, .05 it says 2.25 effective kinds instead of 2.74). Here collision is counted over *pairs* of
different samples, which is unbiased at any size from two. Alpha, beta and gamma are Jost's (Ecology 88, 2007), at order
2: gamma counts kinds over all prompts, alpha within a prompt. Gamma falling with alpha at 1 means that prompts, each
with a kind of its own, come to share one; alpha falling means that each prompt settles on one.

Shape letters: P prompts, K kinds, N texts.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def within_collision(counts: ArrayLike) -> Array:
    """Chance that two different samples of a prompt are of one kind, for each prompt: unbiased.

    Args:
        counts: (P, K) samples of each kind.

    Returns:
        (P,) chances in [0, 1]; NaN for a prompt with fewer than two samples.

    Raises:
        ValueError: Not two dimensions, or a negative count.
    """
    values = _counts(counts)
    totals = values.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = totals * (totals - 1)
        return np.where(pairs > 0, (values * (values - 1)).sum(axis=1) / pairs, np.nan)


def between_collision(counts: ArrayLike) -> float:
    """Chance that samples of two different prompts are of one kind, all pairs of prompts alike: unbiased.

    Args:
        counts: (P, K) samples of each kind; prompts without a sample do not count.

    Returns:
        In [0, 1]; NaN for fewer than two prompts.

    Raises:
        ValueError: As :func:`within_collision`.
    """
    values = _counts(counts)
    values = values[values.sum(axis=1) > 0]
    num = len(values)
    if num < 2:
        return math.nan
    shares = values / values.sum(axis=1, keepdims=True)
    found = (shares.sum(axis=0) ** 2).sum() - (shares**2).sum()
    return float(min(max(found / (num * (num - 1)), 0.0), 1.0))  # rounding alone could leave the interval


def effective_numbers(counts: ArrayLike) -> tuple[float, float, float]:
    """Effective numbers of kinds, order 2: alpha (within a prompt), gamma (over prompts), beta = gamma / alpha.

    Args:
        counts: (P, K) samples of each kind.

    Returns:
        Each at least 1 but for sampling error of beta; NaN where it cannot be estimated, infinite where no pair agrees.

    Raises:
        ValueError: As :func:`within_collision`.
    """
    within = within_collision(counts)
    within = within[~np.isnan(within)]
    alpha = _inverse(float(within.mean())) if within.size else math.nan
    gamma = _inverse(between_collision(counts))
    beta = gamma / alpha if math.isfinite(alpha) and math.isfinite(gamma) else math.nan
    return alpha, gamma, beta


def vendi_score(texts: Sequence[str], sizes: Sequence[int] = (3, 4), most_characters: int = 2000) -> float:
    """Vendi score (Friedman and Dieng, arXiv 2210.02410) under cosine similarity of character n-grams.

    1 for equal texts, N for texts without a common n-gram. Compare it at equal N alone: it grows with N.

    Args:
        texts: N texts, one at least.
        sizes: Lengths of n-grams.
        most_characters: Of a text that are looked at, so that one endless text does not cost as much as all others.

    Raises:
        ValueError: There is no text.
    """
    if not texts:
        raise ValueError("there is no text: expected one at least. Leave prompts without samples out.")
    profiles = np.stack([_ngrams(text[:most_characters], sizes) for text in texts])
    return score_of_kernel(profiles @ profiles.T)


def score_of_kernel(kernel: ArrayLike) -> float:
    """Vendi score of an (N, N) positive semidefinite similarity matrix with ones on its diagonal."""
    matrix = np.asarray(kernel, dtype=np.float64)
    values = np.linalg.eigvalsh(matrix / len(matrix))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def _ngrams(text: str, sizes: Sequence[int], width: int = 4096) -> Array:
    """Unit vector of hashed n-gram counts; a text too short for any counts as itself."""
    profile = np.zeros(width)
    raw = text.encode("utf-8", "surrogatepass")
    codes = np.frombuffer(raw, dtype=np.uint8).astype(np.uint64)
    for size in sizes:
        if len(codes) >= size:
            rolled = np.zeros(len(codes) - size + 1, dtype=np.uint64)
            for offset in range(size):
                rolled = (
                    rolled * np.uint64(1_000_003) + codes[offset : len(codes) - size + 1 + offset] + np.uint64(size)
                )
            rolled ^= rolled >> np.uint64(29)
            profile += np.bincount((rolled % np.uint64(width)).astype(np.int64), minlength=width)
    if not profile.any():
        profile[zlib.crc32(raw) % width] = 1.0
    return np.asarray(profile / np.linalg.norm(profile))


def _inverse(collision: float) -> float:
    if math.isnan(collision):
        return math.nan
    return 1 / collision if collision > 0 else math.inf


def _counts(counts: ArrayLike) -> Array:
    values = np.asarray(counts, dtype=np.float64)
    if values.ndim != 2 or (values < 0).any():
        raise ValueError(f"counts have shape {values.shape}: expected (P, K), none of them negative. Count labels.")
    return values
