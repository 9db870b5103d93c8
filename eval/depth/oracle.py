"""The best loop of each token in hindsight, and what a stopping rule lost against it.

The oracle sees the next token, so it is out of any rule's reach, and the more loops it may choose from the more of its
lead is luck: compare rules by regret, and do not read the regret itself as what could be gained.

Shape letters: R loops, N tokens.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


def oracle_depth(cross_entropy: ArrayLike) -> NDArray[np.int64]:
    """The loop with the least loss, of equals the first.

    Args:
        cross_entropy: (R, N) nats.

    Returns:
        (N,) loops, from 1.

    Raises:
        ValueError: Not two dimensions, no loop, or a loss that is not a number.
    """
    return np.asarray(_losses(cross_entropy).argmin(axis=0) + 1, dtype=np.int64)


def regret(chosen: ArrayLike, cross_entropy: ArrayLike) -> Array:
    """What a rule's choice lost against the oracle's: 0 at best.

    Slightly below 0 is possible for a rule that was *run*: with the keys and values of tokens that had stopped, the
    loss after a loop is another one than at full depth.

    Args:
        chosen: (N,) loss of each token where the rule stopped it, nats.
        cross_entropy: (R, N) losses after every loop, nats.

    Returns:
        (N,) nats.

    Raises:
        ValueError: The numbers of tokens differ, or as :func:`oracle_depth`.
    """
    losses, own = _losses(cross_entropy), np.asarray(chosen, dtype=np.float64)
    if own.shape != losses.shape[1:]:
        raise ValueError(f"chosen has shape {own.shape}: expected {losses.shape[1:]}, one loss a token of the loops'.")
    return np.asarray(own - losses.min(axis=0))


def best_shares(cross_entropy: ArrayLike) -> list[float]:
    """Share of tokens whose best loop is t, R numbers that sum to 1."""
    losses = _losses(cross_entropy)
    counts = np.bincount(oracle_depth(losses) - 1, minlength=len(losses))
    return [float(each) for each in counts / max(losses.shape[1], 1)]


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation of two (N,) samples, ties at their mean rank.

    Returns:
        In [-1, 1]; NaN where a sample has a single value, as the depths of a rule that treats all tokens alike.
    """
    a, b = (rankdata(np.asarray(each, dtype=np.float64)) for each in (first, second))
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan


def _losses(cross_entropy: ArrayLike) -> Array:
    losses = np.asarray(cross_entropy, dtype=np.float64)
    if losses.ndim != 2 or not len(losses) or np.isnan(losses).any():
        raise ValueError(
            f"cross_entropy has shape {losses.shape} and {int(np.isnan(losses).sum())} NaN: expected (R, N) numbers, a "
            "row a loop. Leave tokens without a next one out."
        )
    return losses
