"""The sweet spot: the fewest loops that lose next to nothing, and how sure that is.

Loop gain profile (LoopCoder-v2, arXiv 2606.18023), with the uncertainty that the paper leaves out: sequences are drawn
anew with replacement, the same ones for all loops (paired), and each draw has a sweet spot of its own. Tokens of one
text are not independent, so the sequence is what is drawn; means are over tokens (a ratio of sums).

Shape letters: S sequences, R loops, K draws, N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.bootstrap import resampled_means

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SweetSpot:
    """Fewest loops within ``slack`` of the best mean loss.

    Args:
        loop: On the sequences at hand.
        lo: Lower end of its interval, a loop.
        hi: Upper end.
        agreement: Share of draws whose sweet spot is ``loop``; NaN for a single sequence.
        slack: Nats a token that count as nothing.
        is_last: Whether it is the last loop that was run, so that more loops might be better still.
    """

    loop: int
    lo: int
    hi: int
    agreement: float
    slack: float
    is_last: bool


@dataclass(frozen=True)
class Means:
    """Means over tokens and their intervals, each (R,); the ends are NaN for a single sequence."""

    mean: Array
    lo: Array
    hi: Array


def sweet_spot(
    sums: ArrayLike, counts: ArrayLike, slack: float = 0.01, num: int = 2000, level: float = 0.95, seed: int = 0
) -> SweetSpot:
    """Find the sweet spot.

    Args:
        sums: (S, R) loss of each sequence after each loop, summed over its tokens, nats.
        counts: (S,) its tokens, 1 or more.
        slack: Nats a token that count as nothing; 0.01 is hard to see in samples.
        num: K draws.
        level: Coverage of the interval.
        seed: Of the draws.

    Raises:
        ValueError: Shapes do not fit, a number is not finite, a sequence has no token, or ``slack`` is negative.
    """
    if not slack >= 0:
        raise ValueError(
            f"slack is {slack}: expected nats a token, 0 or more. Use 0.01, or 0 for the best loop itself."
        )
    values, tokens = _checked(sums, counts)
    loop = int(_spots((values.sum(0) / tokens.sum())[None], slack)[0])
    num_loops = values.shape[1]
    if len(values) == 1:
        return SweetSpot(loop, 1, num_loops, float("nan"), slack, loop == num_loops)
    spots = _spots(_drawn(values, tokens, num, seed), slack)
    tail = (1 - level) / 2
    lo, hi = np.quantile(spots, [tail, 1 - tail], method="inverted_cdf")
    return SweetSpot(loop, int(lo), int(hi), float((spots == loop).mean()), slack, loop == num_loops)


def token_means(sums: ArrayLike, counts: ArrayLike, num: int = 2000, level: float = 0.95, seed: int = 0) -> Means:
    """Means over tokens with intervals over sequences.

    Args:
        sums: (S, R) sums over each sequence's tokens.
        counts: (S,) its tokens.
        num: K draws.
        level: Coverage, pointwise.
        seed: Of the draws; equal seeds draw the same sequences.

    Raises:
        ValueError: Shapes do not fit, a number is not finite, or a sequence has no token.
    """
    values, tokens = _checked(sums, counts)
    mean = values.sum(0) / tokens.sum()
    if len(values) == 1:
        return Means(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    tail = (1 - level) / 2
    lo, hi = np.quantile(_drawn(values, tokens, num, seed), [tail, 1 - tail], axis=0)
    return Means(mean, lo, hi)


def step_gains(sums: ArrayLike, counts: ArrayLike, num: int = 2000, level: float = 0.95, seed: int = 0) -> Means:
    """What each loop after the first buys: fall of the mean loss against the loop before, paired by sequence.

    Args:
        sums: (S, R) losses.
        counts: (S,) tokens.
        num: K draws.
        level: Coverage.
        seed: Of the draws.

    Returns:
        (R - 1,) nats a token; an interval above 0 is a loop that helps, below 0 one that hurts.
    """
    values = np.asarray(sums, dtype=np.float64)
    return token_means(values[:, :-1] - values[:, 1:], counts, num, level, seed)


def by_sequence(values: ArrayLike, owner: ArrayLike, num_sequences: int) -> tuple[Array, Array]:
    """Sums (S, R) and counts (S,) of (R, N) token values, ``owner`` (N,) being each token's sequence.

    Sequences without a token are left out.
    """
    array, place = np.asarray(values, dtype=np.float64), np.asarray(owner)
    counts = np.bincount(place, minlength=num_sequences).astype(np.float64)
    sums = np.stack([np.bincount(place, weights=row, minlength=num_sequences) for row in array], axis=1)
    kept = counts > 0
    return np.asarray(sums[kept], dtype=np.float64), np.asarray(counts[kept], dtype=np.float64)


def _spots(means: Array, slack: float) -> NDArray[np.int64]:
    """(K, R) mean losses -> (K,) fewest loops within ``slack`` of the best."""
    # A hair of room: a loss that is off by slack exactly must not depend on the last bit.
    near = means <= means.min(axis=1, keepdims=True) + slack + 1e-12
    return np.asarray(near.argmax(axis=1) + 1, dtype=np.int64)


def _drawn(values: Array, tokens: Array, num: int, seed: int) -> Array:
    """(K, R) means over the tokens of drawn sequences."""
    means = resampled_means(np.column_stack([values, tokens]), num, seed)
    return np.asarray(means[:, :-1] / means[:, -1:])


def _checked(sums: ArrayLike, counts: ArrayLike) -> tuple[Array, Array]:
    values, tokens = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if values.ndim != 2 or tokens.shape != values.shape[:1] or 0 in values.shape:
        raise ValueError(
            f"sums has shape {values.shape} and counts {tokens.shape}: expected (S, R) and (S,), a row a sequence."
        )
    if not np.isfinite(values).all() or not (tokens > 0).all():
        raise ValueError(
            "sums is not finite, or a sequence has no token: expected finite losses of sequences with tokens. Leave "
            "empty sequences out; if the loop diverges, run fewer loops."
        )
    return values, tokens
