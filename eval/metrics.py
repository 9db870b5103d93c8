"""How good and how varied a pool of answers is: pass@k, best@k, E_w[best@k], pool L1, distinct answers, Hill numbers.

Every "of k" quantity averages over all ways to draw k of the samples at hand *without* replacement, and is therefore
unbiased at every k up to the number of samples (Chen et al., arXiv 2107.03374). Drawing with replacement, as some
trainers do, is biased low: 1 correct of 4 then gives .684 at k = 4 instead of 1.

Shape letters: N answers in a pool, C completions, M answers a completion, D components, K weightings, T values of k.
Leading dimensions (prompts) are kept: a ``(..., N)`` array gives ``(...)``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_BLOCK = 1 << 21  # utilities held at a time by E_w[best@k]: 16 MB


def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> Array:
    """Chance that at least one of ``k`` samples is correct: 1 - C(n - c, k) / C(n, k).

    0 with no correct sample, 1 once fewer than k are wrong, c / n at k = 1. (n, c, k) = (8, 2, 4) gives .7857.

    Args:
        num_samples: (...) samples drawn for each prompt, n.
        num_correct: (...) correct ones among them, c.
        k: 1 up to the smallest n.

    Returns:
        (...) chances.

    Raises:
        ValueError: A count is no whole number, c is not in 0..n, or k is not in 1..n.
    """
    totals, corrects = np.broadcast_arrays(np.asarray(num_samples), np.asarray(num_correct))
    for name, counts in (("num_samples", totals), ("num_correct", corrects)):
        if not np.isfinite(counts).all() or (counts != np.floor(counts)).any():
            raise ValueError(f"{name} holds values that are no whole numbers: expected counts, not rates. Count them.")
    if (corrects < 0).any() or (corrects > totals).any():
        raise ValueError(
            f"num_correct is {corrects.tolist()} of num_samples {totals.tolist()}: expected 0 to num_samples for each. "
            "Check that the arguments are not swapped."
        )
    _check_k(k, int(totals.min()) if totals.size else k)
    chances = [_chance(int(n), int(c), k) for n, c in zip(totals.flat, corrects.flat, strict=True)]
    return np.asarray(chances, dtype=np.float64).reshape(totals.shape)


def best_at_k(scores: ArrayLike, k: int) -> Array:
    """Expected maximum of ``k`` distinct answers out of N; pass@k for scores that are not just 0 and 1.

    The mean at k = 1, the maximum at k = N.

    Args:
        scores: (..., N) scalar scores, any unit.
        k: 1 to N.

    Returns:
        (...) expected maxima, in the unit of the scores.

    Raises:
        ValueError: k is out of range, there is no answer, or a score is not finite.
    """
    values = _finite(scores, "scores", "(..., N)")
    return best_at_k_curve(values[..., None], [k])[..., 0]


def best_at_k_sets(utilities: ArrayLike, k: int) -> Array:
    """Expected best of the first ``k`` answers when completions of M answers are drawn in random order.

    The protocol of VPO (arXiv 2605.22817): whole completions are taken until k answers are there, and the last one is
    cut: the maximum over k // M whole completions and the first k % M answers of one more. Averaged exactly over all
    ordered choices. (The paper's released code shuffles the flattened pool instead, which tears sets apart.)

    The mean of the first answers at k = 1, the maximum at k = C * M; :func:`best_at_k` if M = 1.

    Args:
        utilities: (..., C, M) scalar utilities in the order of writing; a missing answer carries what it is worth, 0.
        k: 1 to C * M answers.

    Returns:
        (...) expected maxima, in the unit of the utilities.

    Raises:
        ValueError: k is out of range, a dimension is missing or empty, or a utility is not finite.
    """
    return best_at_k_curve(utilities, [k])[..., 0]


def best_at_k_curve(utilities: ArrayLike, ks: Sequence[int] | None = None) -> Array:
    """:func:`best_at_k_sets` for many k at once, for the price of a sort: (..., C, M) gives (..., T).

    ``ks`` are T numbers of answers in any order; None means 1, 2, ... C * M.
    """
    values = _finite(utilities, "utilities", "(..., C, M)")
    num, size = values.shape[-2:]
    wanted = list(range(1, num * size + 1)) if ks is None else list(ks)
    for k in wanted:
        _check_k(k, num * size)
    batch = values.reshape(-1, num, size)  # (B, C, M)
    prefix = np.maximum.accumulate(batch, axis=2)  # (B, C, M): best of the first 1, 2, ... M answers
    full = np.sort(prefix[..., -1], axis=1)  # (B, C): ascending
    curve = np.empty((len(batch), len(wanted)))
    for part in sorted({k % size for k in wanted}):
        columns = [t for t, k in enumerate(wanted) if k % size == part]
        wholes = tuple(wanted[t] // size for t in columns)
        if part == 0:
            curve[:, columns] = full @ _maximum_weights(num, wholes)
        else:
            curve[:, columns] = _with_a_part(full, prefix[..., part - 1], wholes)
    return curve.reshape(*values.shape[:-2], len(wanted))


def expected_best_at_k(rewards: ArrayLike, weights: ArrayLike, k: int) -> Array:
    """E_w[best@k]: :func:`best_at_k_sets` under each weighting, averaged over the weightings.

    Args:
        rewards: (..., C, M, D) reward vectors; a missing answer holds zeros.
        weights: (K, D) weightings, such as :func:`simplex_weightings` draws.
        k: 1 to C * M answers.

    Returns:
        (...) expected values, in the unit of the rewards.

    Raises:
        ValueError: k is out of range, the shapes do not fit, a dimension is empty, or a value is not finite.
    """
    return expected_best_at_k_curve(rewards, weights, [k])[..., 0]


def expected_best_at_k_curve(rewards: ArrayLike, weights: ArrayLike, ks: Sequence[int] | None = None) -> Array:
    """:func:`expected_best_at_k` for many k at once: (..., C, M, D) gives (..., T).

    ``ks`` are T numbers of answers in any order; None means 1, 2, ... C * M.
    """
    vectors, tastes = _finite(rewards, "rewards", "(..., C, M, D)"), _finite(weights, "weights", "(K, D)")
    if tastes.shape[1] != vectors.shape[-1]:
        raise ValueError(
            f"weights {tastes.shape} and rewards {vectors.shape} do not fit: expected (K, D) and (..., C, M, D) with "
            "the same D. Draw weightings with one entry for each component."
        )
    batch = vectors.reshape(-1, *vectors.shape[-3:])  # (B, C, M, D)
    block = max(1, _BLOCK // (len(tastes) * batch.shape[1] * batch.shape[2]))
    parts = [
        best_at_k_curve(np.moveaxis(batch[first : first + block] @ tastes.T, -1, 1), ks).mean(axis=1)
        for first in range(0, len(batch), block)
    ]
    curve = np.concatenate(parts)
    return curve.reshape(*vectors.shape[:-3], curve.shape[-1])


def simplex_weightings(num: int, dim: int, seed: int = 0) -> Array:
    """(num, dim) weightings for evaluation, uniform on the simplex (Dirichlet(1)); the same seed gives the same."""
    if num < 1 or dim < 1:
        raise ValueError(f"num is {num} and dim is {dim}: expected at least 1 of each. 200 weightings are plenty.")
    return np.random.default_rng(seed).dirichlet(np.ones(dim), num)


def pool_l1(rewards: ArrayLike) -> Array:
    """Mean L1 distance between the reward vectors of two answers of a pool: VPO's reward-space diversity.

    0 when all vectors are equal; at most D for components in [0, 1], and about D / 2 for a pool split between two
    opposite corners. O(N log N) by sorting each component.

    Args:
        rewards: (..., N, D) reward vectors. Leave missing answers out: zeros would count as an answer of their own.

    Returns:
        (...) means over the N (N - 1) / 2 pairs, in the unit of the rewards; NaN if N < 2, where there is no pair.

    Raises:
        ValueError: Fewer than two dimensions, or a reward is not finite.
    """
    vectors = np.asarray(rewards, dtype=np.float64)
    if vectors.ndim < 2 or not np.isfinite(vectors).all():
        raise ValueError(f"rewards has shape {vectors.shape}: expected (..., N, D), all finite. Mend the reward.")
    num = vectors.shape[-2]
    if num < 2:
        return np.full(vectors.shape[:-2], np.nan)
    ordered = np.sort(vectors, axis=-2)
    # Value i of N is added i times and taken off N - 1 - i times. Mirror images taken together cannot fall below 0.
    gaps = ordered[..., ::-1, :][..., : num // 2, :] - ordered[..., : num // 2, :]  # (..., N // 2, D), widest first
    total = np.einsum("...nd,n->...", gaps, num - 1.0 - 2.0 * np.arange(num // 2))
    return np.asarray(total / (num * (num - 1) / 2))


def distinct_answers(answers: Iterable[Hashable]) -> int:
    """Number of different answers, compared as they are: a task that knows which are equivalent says so in a label."""
    return len(set(answers))


def label_shares(labels: Iterable[str]) -> dict[str, float]:
    """Share of each label, most frequent first and then by name; they sum to 1. Empty for no labels."""
    counts = Counter(labels)
    total = counts.total()
    return {label: count / total for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}


def effective_number(shares: Mapping[str, float] | Sequence[float], order: int = 1) -> float:
    """Hill number: how many equally frequent kinds would be as varied as these shares.

    1 when there is one kind; the number of kinds when all are equally frequent. Order 1 is exp(entropy), order 2 the
    inverse chance that two draws agree, which rare kinds hardly move. This is the plug-in value: shares of fewer than
    about a hundred labels make it too small, so never use the shares of a single group.

    Args:
        shares: Shares of all the kinds, summing to 1.
        order: 1 or 2.

    Raises:
        ValueError: A share is negative, they do not sum to 1, or the order is another.
    """
    values = np.array(list(shares.values() if isinstance(shares, Mapping) else shares), dtype=np.float64)
    if not (values >= 0).all() or not abs(values.sum() - 1.0) <= 1e-6:
        raise ValueError(f"the shares sum to {values.sum():.6g}: expected numbers >= 0 that sum to 1. Normalize them.")
    if order not in (1, 2):
        raise ValueError(f"order is {order!r}: expected 1 (entropy) or 2 (collision). Choose one of them.")
    present = values[values > 0]
    if order == 1:
        return float(np.exp(-(present * np.log(present)).sum()))
    return float(1.0 / (present**2).sum())


def _with_a_part(full: Array, parts: Array, wholes: tuple[int, ...]) -> Array:
    """Best of q whole completions and part of one more, averaged over both choices.

    With completion c giving the part Q_c, the others' sorted bests F are a sorted list without one entry, at c's own
    rank. Entries below Q_c count as Q_c; since Q_c <= F_c, they all stand below that rank. So each F_i counts with the
    weight of rank i where Q_c <= F_i and c stands above it, and of rank i - 1 where c stands below it. How many c there
    are of each sort does not depend on q: every q is one matrix product.

    Args:
        full: (B, C) best of each completion, ascending.
        parts: (B, C) best of the first answers of each completion, any order.
        wholes: T values of q, 0 to C - 1.

    Returns:
        (B, T).
    """
    num = full.shape[1]
    # Stable, parts first: an equal F stands after its Q, so the F before Q_c are the ones strictly below it.
    order = np.argsort(np.concatenate([parts, full], axis=1), axis=1, kind="stable")
    num_below = np.empty_like(order)
    np.put_along_axis(num_below, order, np.cumsum(order >= num, axis=1), axis=1)
    num_below = num_below[:, :num]  # (B, C): entries of F below each Q_c
    rows = np.arange(len(full))[:, None]
    cells = (rows * num + num_below).ravel()  # num_below < C, for Q_c never exceeds the greatest F
    counts = np.bincount(cells, minlength=full.size).reshape(full.shape)
    sums = np.bincount(cells, weights=parts.ravel(), minlength=full.size).reshape(full.shape)
    ranks = np.arange(num)
    above = np.cumsum(counts, axis=1) - (ranks + 1)  # (B, C): completions c with Q_c <= F_i that stand above rank i
    at_rank = np.vstack([_maximum_weights(num - 1, wholes), np.zeros((1, len(wholes)))])
    below_rank = np.ones((num, len(wholes)))  # chance that all q others lie among the lowest i: C(i, q) / C(C - 1, q)
    for i in range(num - 1, 0, -1):
        below_rank[i - 1] = below_rank[i] * (i - np.array(wholes)) / i
    shifted = np.vstack([np.zeros((1, len(wholes))), at_rank[:-1]])
    total = (full * above) @ at_rank + (full * ranks) @ shifted + sums @ below_rank
    return np.asarray(total / num)


def _maximum_weights(num: int, ks: Sequence[int]) -> Array:
    """(num, T): chance that the i-th smallest of ``num`` is the greatest of k drawn ones: C(i - 1, k - 1) / C(num, k).

    From the top down by the ratio of neighbours, for the binomials themselves can exceed a float.
    """
    weights = np.zeros((num, len(ks)))
    weights[num - 1 :] = np.array(ks) / max(num, 1)
    for i in range(num - 1, 0, -1):
        weights[i - 1] = weights[i] * (i + 1 - np.array(ks)) / i
    return weights


@lru_cache(maxsize=4096)
def _chance(num_samples: int, num_correct: int, k: int) -> float:
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)


def _finite(values: ArrayLike, name: str, shape: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    dims, is_open = shape.replace("..., ", "").count(",") + 1, "..." in shape
    if array.ndim < dims or (array.ndim > dims and not is_open) or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}: expected {shape}, none of them empty. Reshape it.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity: expected finite numbers. Give a missing answer the value 0.")
    return array


def _check_k(k: int, most: int) -> None:
    if isinstance(k, bool) or int(k) != k or not 1 <= k <= most:
        raise ValueError(
            f"k is {k}: expected 1 to {most}, the number of samples, and whole. Draw more, or ask for fewer."
        )
