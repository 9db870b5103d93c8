"""How good and how varied a pool of answers is: pass@k, best@k, E_w[best@k], pool L1, distinct answers, Hill numbers.

All estimators of "the best of k" are unbiased and draw *without* replacement: they average over every way to choose k
of the samples at hand (Chen et al., arXiv 2107.03374). Drawing with replacement, as a plain power of the failure rate
does, is biased low (pass@4 of 2 right ones in 8: .6836 instead of .7857).

Shape letters: P prompts, N answers in a pool, C completions, M answers a completion, D components, K weightings.
Leading dimensions are kept: a ``(..., N)`` array gives ``(...)``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Chance that at least one of ``k`` of the samples is correct.

    0 with no correct sample, 1 once fewer than ``k`` are wrong, the share of correct ones at ``k = 1``.

    Raises:
        ValueError: Not ``0 <= num_correct <= num_samples``, or ``k`` is not in ``1..num_samples``.
    """
    _check_k(k, num_samples)
    if not 0 <= num_correct <= num_samples:
        raise ValueError(f"num_correct is {num_correct}: expected 0 to num_samples = {num_samples}.")
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def best_at_k(scores: ArrayLike, k: int) -> Array:
    """Expected maximum of ``k`` of the ``N`` scores of each pool.

    The mean at ``k = 1``, the maximum at ``k = N``.

    Args:
        scores: (..., N).
        k: 1 to N.

    Returns:
        (...) expected maxima, in the unit of the scores.

    Raises:
        ValueError: ``k`` is out of range, or a score is not finite.
    """
    values = _finite(scores, "scores", 1)
    num = values.shape[-1]
    _check_k(k, num)
    # The i-th smallest is the maximum of C(i - 1, k - 1) of the C(N, k) subsets.
    weights = np.array([math.comb(i, k - 1) / math.comb(num, k) for i in range(num)])
    return np.sort(values, axis=-1) @ weights


def best_at_k_sets(utilities: ArrayLike, k: int) -> Array:
    """Expected maximum of the first ``k`` answers when whole completions are drawn in random order.

    A completion holds an ordered answer set, and its answers are meant to complement each other, so they are drawn
    together: ``q = k // M`` whole completions and the first ``k % M`` answers of one more (VPO's protocol: ceil(k / m)
    chains, the first k answers kept). The average over all ordered choices is exact. ``M = 1`` is :func:`best_at_k`.

    Args:
        utilities: (..., C, M), missing answers hold what they are worth (0).
        k: 1 to C * M.

    Returns:
        (...) expected maxima.

    Raises:
        ValueError: ``k`` is out of range, or a utility is not finite.
    """
    values = _finite(utilities, "utilities", 2)
    num, size = values.shape[-2:]
    _check_k(k, num * size)
    whole, rest = divmod(k, size)
    full = values.max(axis=-1)  # (..., C)
    if rest == 0:
        return best_at_k(full, whole)
    part = values[..., :rest].max(axis=-1)  # (..., C)
    if whole == 0:
        return part.mean(axis=-1)
    total = np.zeros(values.shape[:-2])
    for j in range(num):  # completion j gives the part, `whole` of the others are taken in full
        others = np.sort(np.delete(full, j, axis=-1), axis=-1)
        weights = [math.comb(i, whole - 1) / math.comb(num - 1, whole) for i in range(num - 1)]
        total += np.maximum(others, part[..., j, None]) @ np.array(weights)
    return total / num


def expected_best_at_k(rewards: ArrayLike, weights: ArrayLike, k: int) -> Array:
    """E_w[best@k]: :func:`best_at_k_sets` under each weighting, averaged over weightings.

    Args:
        rewards: (..., C, M, D) reward vectors.
        weights: (K, D) weightings.
        k: 1 to C * M.

    Returns:
        (...) expected values.

    Raises:
        ValueError: The shapes do not fit, ``k`` is out of range, or a value is not finite.
    """
    vectors, tastes = _finite(rewards, "rewards", 3), _finite(weights, "weights", 2)
    if tastes.ndim != 2 or tastes.shape[1] != vectors.shape[-1] or len(tastes) == 0:
        raise ValueError(
            f"weights {tastes.shape} and rewards {vectors.shape} do not fit: expected (K, D) and (..., C, M, D) with "
            "the same D. Draw weightings with one entry a component."
        )
    utilities = np.moveaxis(vectors @ tastes.T, -1, 0)  # (K, ..., C, M)
    return np.asarray(best_at_k_sets(utilities, k).mean(axis=0))


def simplex_weightings(num: int, dim: int, seed: int = 0) -> Array:
    """(num, dim) weightings drawn uniformly from the simplex, for evaluation."""
    return np.random.default_rng(seed).dirichlet(np.ones(dim), num)


def pool_l1(rewards: ArrayLike) -> Array:
    """Mean L1 distance between the reward vectors of two answers of a pool (VPO's reward-space diversity).

    0 when all are alike; at most D for components in [0, 1].

    Args:
        rewards: (..., N, D).

    Returns:
        (...) distances; NaN for a pool of fewer than two answers, which has no pair.
    """
    values = _finite(rewards, "rewards", 2)
    num = values.shape[-2]
    if num < 2:
        return np.full(values.shape[:-2], np.nan)
    # Sorted, the i-th value is added i times and taken off N - 1 - i times over all pairs.
    signs = 2.0 * np.arange(num) - (num - 1)
    total = np.einsum("...nd,n->...", np.sort(values, axis=-2), signs)
    return np.asarray(total / (num * (num - 1) / 2))


def distinct_answers(answers: Iterable[Hashable]) -> int:
    """Number of different answers."""
    return len(set(answers))


def label_shares(labels: Iterable[str]) -> dict[str, float]:
    """Share of each label, most frequent first; empty for no labels."""
    counts = Counter(labels)
    total = sum(counts.values())
    return {label: count / total for label, count in counts.most_common()}


def effective_number(shares: Mapping[str, float], order: int = 1) -> float:
    """Hill number of order 1 or 2: how many equally frequent kinds would be as varied.

    1 when there is one kind, the number of kinds when all are equally frequent. Order 1 is exp(entropy), order 2 the
    inverse chance that two draws agree.

    Raises:
        ValueError: The shares do not sum to 1, or the order is neither 1 nor 2.
    """
    values = np.array([share for share in shares.values() if share > 0])
    if not abs(values.sum() - 1.0) < 1e-6:
        raise ValueError(f"the shares sum to {values.sum():.6g}: expected 1. Divide by their sum.")
    if order == 1:
        return float(np.exp(-(values * np.log(values)).sum()))
    if order == 2:
        return float(1.0 / (values**2).sum())
    raise ValueError(f"order is {order}: expected 1 (entropy) or 2 (collision).")


def _finite(values: ArrayLike, name: str, least_dims: int) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim < least_dims or 0 in array.shape[-least_dims:]:
        raise ValueError(f"{name} has shape {array.shape}: expected at least {least_dims} dimensions, none empty.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: expected finite numbers. Give a missing answer the value 0.")
    return array


def _check_k(k: int, most: int) -> None:
    if not 1 <= k <= most:
        raise ValueError(f"k is {k}: expected 1 to {most}, the number of samples. Draw more, or ask for fewer.")
