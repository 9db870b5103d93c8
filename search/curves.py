"""Best-so-far curves: what a search had found by the time it had spent x answers or x tokens.

Arrays only; means over problems, bands and tests belong to the reader. Letters: P problems, X grid points, K
weightings, D components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.records import SearchResult

Axis = Literal["answers", "completion_tokens"]


def best_so_far(
    results: Sequence[SearchResult], grid: ArrayLike, axis: Axis = "completion_tokens", *, floor: float = 0.0
) -> NDArray[np.float64]:
    """Best scalar w* . r among the answers in hand at each cost.

    On the "answers" axis the answers of one completion count one after another; on the token axis all of them arrive
    when their completion ends. Beyond the end of a search its curve stays where it is.

    Args:
        results: P results.
        grid: (X,) costs, any order.
        axis: Unit of ``grid``: charged answers, or generated tokens.
        floor: Value before the first answer.

    Returns:
        (P, X) best scalars.

    Raises:
        ValueError: No results, a grid that is not a finite vector, or an unknown axis.
    """
    costs = _check(results, grid, axis)
    curves = []
    for result in results:
        running = np.maximum.accumulate([candidate.scalar for candidate in result.candidates])
        curves.append(_at(costs, arrivals(result, axis), np.asarray(running), floor))
    return np.stack(curves)


def expected_best_so_far(
    results: Sequence[SearchResult],
    grid: ArrayLike,
    weights: ArrayLike,
    axis: Axis = "completion_tokens",
    *,
    floor: float = 0.0,
) -> NDArray[np.float64]:
    """Set reward of the answers in hand: E_w [max w . r], the mean over K weightings of the best answer for each.

    Args:
        results: P results with D components.
        grid: (X,) costs, any order.
        weights: (K, D) weightings; ``vpo.weightings`` draws them.
        axis: Unit of ``grid``.
        floor: Value before the first answer.

    Returns:
        (P, X) expected best values.

    Raises:
        ValueError: As ``best_so_far``; or the weights do not fit the vectors.
    """
    costs = _check(results, grid, axis)
    tastes = np.asarray(weights, dtype=np.float64)
    curves = []
    for result in results:
        if not result.candidates:
            curves.append(np.full(len(costs), floor))
            continue
        vectors = np.asarray([candidate.vector for candidate in result.candidates])
        if tastes.ndim != 2 or tastes.shape[0] == 0 or tastes.shape[1] != vectors.shape[1]:
            raise ValueError(
                f"weights has shape {tastes.shape}, expected (K, {vectors.shape[1]}) with K >= 1: draw weightings with "
                f"one entry for each reward component of problem {result.problem_id!r}."
            )
        running = np.maximum.accumulate(vectors @ tastes.T, axis=0).mean(axis=1)
        curves.append(_at(costs, arrivals(result, axis), running, floor))
    return np.stack(curves)


def arrivals(result: SearchResult, axis: Axis) -> NDArray[np.int64]:
    """Cost at which each candidate is in hand, (N,) and nondecreasing."""
    if axis == "completion_tokens":
        return np.asarray([result.completion_tokens[c.generation_id] for c in result.candidates], dtype=np.int64)
    costs: list[int] = []
    position, generation = 0, -1
    for candidate in result.candidates:
        if candidate.generation_id != generation:
            generation, position = candidate.generation_id, 0
        position += 1
        costs.append((result.answers[generation - 1] if generation else 0) + position)
    return np.asarray(costs, dtype=np.int64)


def _at(
    costs: NDArray[np.float64], in_hand_at: NDArray[np.int64], running: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    num_in_hand = np.searchsorted(in_hand_at, costs, side="right")
    return np.concatenate([[floor], running])[num_in_hand]


def _check(results: Sequence[SearchResult], grid: ArrayLike, axis: str) -> NDArray[np.float64]:
    if not results:
        raise ValueError("results is empty, expected at least one SearchResult: run a search, or read its ledger.")
    if axis not in ("answers", "completion_tokens"):
        raise ValueError(f"axis is {axis!r}, expected 'answers' or 'completion_tokens': name the unit of the grid.")
    costs = np.asarray(grid, dtype=np.float64)
    if costs.ndim != 1 or not np.isfinite(costs).all():
        raise ValueError(f"grid has shape {costs.shape}, expected a vector of finite costs: try np.arange(1, n + 1).")
    return costs
