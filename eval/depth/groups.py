"""Depths by kind of token: how deep a rule goes by position, surprisal, format and difficulty.

Shape letters: N tokens, R loops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Names of quantile groups, from few to many.
QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


@dataclass(frozen=True)
class DepthGroup:
    """Tokens of one kind.

    Args:
        name: Of the kind.
        num_tokens: How many.
        mean_depth: Loops a token.
        shares: Loop t -> share of tokens that stopped there, from t = 1; sums to 1.
        oracle_depth: Mean of the oracle's depths.
        cross_entropy: Mean loss where the rule stopped them, nats.
    """

    name: str
    num_tokens: int
    mean_depth: float
    shares: list[float]
    oracle_depth: float
    cross_entropy: float


def depth_groups(
    labels: Sequence[str] | NDArray[np.str_],
    depths: ArrayLike,
    oracle: ArrayLike,
    losses: ArrayLike,
    order: Sequence[str] | None = None,
) -> list[DepthGroup]:
    """Split the tokens by label.

    Args:
        labels: (N,) names.
        depths: (N,) loops that a rule gave them, from 1.
        oracle: (N,) loops of the oracle.
        losses: (N,) nats where the rule stopped them.
        order: Order of the names; by default the most frequent first. Names without a token are left out.

    Raises:
        ValueError: The lengths differ, or a depth is below 1.
    """
    names, chosen = np.asarray(labels, dtype=str), np.asarray(depths, dtype=np.int64)
    best, loss = np.asarray(oracle, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if not names.shape == chosen.shape == best.shape == loss.shape or names.ndim != 1:
        raise ValueError(
            f"labels, depths, oracle and losses have shapes {names.shape}, {chosen.shape}, {best.shape}, {loss.shape}: "
            "expected (N,) for all, one a token."
        )
    if len(chosen) and chosen.min() < 1:
        raise ValueError(f"depths holds {chosen.min()}: expected loops from 1. Count them, do not index them.")
    most = int(chosen.max(initial=1))
    if order is None:
        found, counts = np.unique(names, return_counts=True)
        order = [str(found[i]) for i in np.argsort(-counts, kind="stable")]
    groups = []
    for name in order:
        kept = names == name
        if not kept.any():
            continue
        counts = np.bincount(chosen[kept] - 1, minlength=most)
        groups.append(
            DepthGroup(
                name=name,
                num_tokens=int(kept.sum()),
                mean_depth=float(chosen[kept].mean()),
                shares=[float(each) for each in counts / counts.sum()],
                oracle_depth=float(best[kept].mean()),
                cross_entropy=float(loss[kept].mean()),
            )
        )
    return groups


def in_order(names: Iterable[str]) -> list[str]:
    """Names sorted as people count: numbers by their size, also those within a name ("level 2" before "level 10")."""

    def place(name: str) -> tuple[bool, float, list[tuple[int, str]]]:
        parts = [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
        is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", name, re.IGNORECASE) is not None
        return not is_number, float(name) if is_number else 0.0, parts

    return sorted(names, key=place)


def position_names(positions: ArrayLike) -> tuple[list[str], list[str]]:
    """Names of ranges of positions that grow fourfold (0, 1-3, 4-15, ...), and the ranges in order.

    Args:
        positions: (N,) from 0.
    """
    places = np.asarray(positions, dtype=np.int64)
    bounds = [0, 1]
    while bounds[-1] <= places.max(initial=0):
        bounds.append(4 * bounds[-1])
    ranges = ["0", *(f"{low}-{high - 1}" for low, high in pairwise(bounds[1:]))]
    which = np.searchsorted(bounds, places, side="right") - 1
    return [ranges[i] for i in which], ranges


def quarter_names(values: ArrayLike) -> list[str]:
    """Quarter of each of (N,) values, ties in the lower one: a value that many share must not be split at random."""
    array = np.asarray(values, dtype=np.float64)
    edges = np.quantile(array, [0.25, 0.5, 0.75]) if len(array) else np.zeros(3)
    return [QUARTERS[i] for i in np.searchsorted(edges, array, side="left")]
