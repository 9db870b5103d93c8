"""Complementary candidates: those that are good where the chosen ones are not.

The worth of a set S is E_w[max_{s in S} w . r_s], the set reward that VPO trains for (arXiv 2605.22817): the best
answer for a random taste. It is monotone and submodular, so adding the candidate of largest gain, one at a time,
reaches at least 1 - 1/e of the best set (Nemhauser, Wolsey and Fisher 1978). With tastes at the corners of the simplex
the worth of a pair is sum_j max(a_j, b_j) / D. Letters: N candidates, D components, K weightings.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.selection.cases import as_matrix

_ROUNDING = 1e-12  # of the spread of all values: gains closer than this are one gain


def complementary(
    vectors: ArrayLike,
    chosen: Sequence[int],
    num: int,
    *,
    rng: random.Random | None = None,
    weights: ArrayLike | None = None,
) -> list[int]:
    """Extend a set greedily by what adds most to E_w[max].

    Args:
        vectors: (N, D) finite rewards, higher is better.
        chosen: Rows that are in the set already, e.g. the parent; may be empty.
        num: How many to add at most. Fewer are added once nobody adds anything to the set.
        rng: Breaks ties; None takes the first row.
        weights: (K, D) weightings over which the expectation runs; None for the D corners of the simplex.

    Returns:
        Indices of the added rows, in the order of their choice.

    Raises:
        ValueError: ``vectors`` is no matrix, or ``weights`` does not fit it.
    """
    matrix = as_matrix(vectors)
    if weights is not None:
        tastes = np.asarray(weights, dtype=np.float64)
        if tastes.ndim != 2 or tastes.shape[1] != matrix.shape[1] or len(tastes) == 0:
            raise ValueError(
                f"weights has shape {tastes.shape}, expected (K, {matrix.shape[1]}) with K >= 1: one weight per "
                "component of the vectors."
            )
        matrix = matrix @ tastes.T
    return greedy_cover(np.ascontiguousarray(matrix.T), chosen, num, rng)


def greedy_cover(
    columns: NDArray[np.float64], chosen: Sequence[int], num: int, rng: random.Random | None = None
) -> list[int]:
    """The same on (K, N) values that are laid out by taste, for many calls on one population."""
    added: list[int] = []
    floor = columns.min(axis=1)  # what an empty set is worth under each taste
    covered = np.maximum(floor, columns[:, chosen].max(axis=1)) if len(chosen) else floor
    smallest = _ROUNDING * float((columns.max(axis=1) - floor).sum())
    while len(added) < num:
        gains = np.maximum(columns - covered[:, None], 0).sum(axis=0)
        largest = gains.max()
        if largest <= smallest and (len(chosen) or added):  # but the first of all is better than nobody
            break
        tied = np.flatnonzero(gains >= largest - smallest)
        index = int(tied[0] if rng is None else tied[rng.randrange(len(tied))])
        added.append(index)
        covered = np.maximum(covered, columns[:, index])
    return added
