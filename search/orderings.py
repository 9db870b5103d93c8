"""Independent draws have no order: their best-so-far curve averaged over the orders in which they could have come.

A search by best-of-n gives one order of its n draws, and its curve is one draw of a curve. With the same draws in every
other order, the mean curve is the expected best of what a cost buys (with M answers in each completion and answers as
the cost, exactly ``eval.metrics.best_at_k_sets``): the same expectation, far less noise. Completions keep their answers
together. The average is taken over orders drawn at random, as completions may differ in length and in answers.

Where the budget counts tokens, n itself depends on the lengths drawn: close to the budget the mean is not exactly
unbiased.

Letters: R orders, C completions, N steps (answers, or on the token axis completions), K weightings, X grid points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.curves import Axis
from search.measures import step_area
from search.records import SearchResult

Array = NDArray[np.float64]

_BLOCK = 1 << 20  # utilities held at a time: 8 MB


@dataclass(frozen=True)
class MeanCurve:
    """A best-so-far curve averaged over orders.

    Attributes:
        values: (X,) means on the grid.
        area: Mean height of the curve from 0 to the limit, as ``search.measures.area_under_best``.
    """

    values: Array
    area: float


def mean_over_orders(
    result: SearchResult,
    grid: ArrayLike,
    limit: float,
    axis: Axis = "completion_tokens",
    *,
    weights: ArrayLike | None = None,
    floor: float = 0.0,
    num: int = 100,
    seed: int = 0,
) -> MeanCurve:
    """Average the curve of independent draws over ``num`` random orders.

    Args:
        result: A search all of whose proposals were i.i.d. draws, such as ``BestOfN``.
        grid: (X,) costs.
        limit: Cost to which the area goes.
        axis: Unit of both.
        weights: (K, D) weightings for the curve of E_w [max w . r]; None for the scalar's own.
        floor: Value before the first answer.
        num: R.
        seed: Seed of the orders.

    Returns:
        The mean curve.

    Raises:
        ValueError: ``num`` is below 1, or a candidate varies another one.
    """
    if num < 1:
        raise ValueError(f"num is {num}, expected at least 1: a hundred orders are plenty.")
    if any(candidate.parents for candidate in result.candidates):
        raise ValueError(
            f"the search on {result.problem_id!r} varied candidates, expected independent draws: their order matters. "
            "Use best_so_far."
        )
    wanted = np.asarray(grid, dtype=np.float64)
    if not result.completion_tokens:
        return MeanCurve(np.full(wanted.shape, floor), floor)
    costs, values, completion = _steps(result, axis, weights)  # (N,), (N, K), (N,)
    rng = np.random.default_rng(seed)
    num_completions = int(completion[-1]) + 1
    block = max(1, _BLOCK // values.size)
    total, area = np.zeros(wanted.shape), 0.0
    for first in range(0, num, block):
        size = min(block, num - first)
        ranks = np.argsort(rng.random((size, num_completions)), axis=1)  # (R, C): place of each completion
        order = np.argsort(ranks[:, completion], axis=1, kind="stable")  # (R, N): stable keeps answers in their order
        spent = np.cumsum(costs[order], axis=1)  # (R, N)
        running = np.maximum.accumulate(values[order], axis=1)  # (R, N, K)
        running = np.where(np.isneginf(running), floor, running).mean(axis=2)
        in_hand = np.stack([np.searchsorted(row, wanted, side="right") for row in spent])  # (R, X)
        padded = np.concatenate([np.full((size, 1), floor), running], axis=1)
        total += np.take_along_axis(padded, in_hand, axis=1).sum(axis=0)
        area += float(step_area(spent, running, limit, floor).sum())
    return MeanCurve(total / num, area / num)


def _steps(
    result: SearchResult, axis: Axis, weights: ArrayLike | None
) -> tuple[NDArray[np.int64], Array, NDArray[np.int64]]:
    """What each step costs and brings, and the completion that it belongs to; -inf where it brings no answer."""
    num = len(result.completion_tokens)
    answers: list[list[int]] = [[] for _ in range(num)]
    for index, candidate in enumerate(result.candidates):
        answers[candidate.generation_id].append(index)
    if weights is None:
        values = np.asarray([[candidate.scalar] for candidate in result.candidates], dtype=np.float64).reshape(-1, 1)
    else:
        vectors = [candidate.vector for candidate in result.candidates]
        tastes = np.asarray(weights, dtype=np.float64)
        values = np.asarray(vectors, dtype=np.float64).reshape(-1, tastes.shape[1]) @ tastes.T
    nothing = np.full(values.shape[1], -np.inf)
    if axis == "completion_tokens":
        brought = [values[own].max(axis=0) if own else nothing for own in answers]
        costs = np.asarray(np.diff(result.completion_tokens, prepend=0), dtype=np.int64)
        return costs, np.asarray(brought).reshape(num, -1), np.arange(num)
    rows = [values[i] if i >= 0 else nothing for own in answers for i in own or [-1]]
    completion = np.repeat(np.arange(num), [max(1, len(own)) for own in answers])
    return np.ones(len(rows), dtype=np.int64), np.asarray(rows).reshape(len(rows), -1), completion
