"""One search in a few numbers: area under its best-so-far curve, cost to a target, signatures, repeats.

Numbers of one problem each; means, intervals and tests belong to the reader.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from search.curves import Axis, arrivals
from search.records import SearchResult

_ROUNDING = 1e-9  # w* . r of a vector of thirds may miss its sum by a few units in the last place


def area_under_best(
    result: SearchResult, limit: float, axis: Axis = "completion_tokens", *, floor: float = 0.0
) -> float:
    """Mean height of the best-so-far curve from cost 0 to ``limit``: its area divided by ``limit``, exactly.

    In the unit of the scalar: the best of all if it were in hand at once, ``floor`` if nothing ever is. A search that
    ended before ``limit`` keeps what it has.

    Args:
        result: The search.
        limit: Cost to which the area goes, above 0.
        axis: Unit of ``limit``.
        floor: Value before the first answer.

    Raises:
        ValueError: ``limit`` is not above 0.
    """
    scalars = np.asarray([candidate.scalar for candidate in result.candidates], dtype=np.float64)
    return float(step_area(arrivals(result, axis), np.maximum.accumulate(scalars), limit, floor))


def step_area(
    costs: NDArray[np.int64], running: NDArray[np.float64], limit: float, floor: float
) -> NDArray[np.float64]:
    """Mean over [0, ``limit``] of right-continuous step curves.

    Args:
        costs: (..., N) cost at which each value is reached, nondecreasing.
        running: (..., N) values.
        limit: End of the interval, above 0.
        floor: Value before the first cost.

    Returns:
        (...) means.

    Raises:
        ValueError: ``limit`` is not a finite number above 0.
    """
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"limit is {limit}, expected a finite cost above 0: give the budget of the search.")
    ends = np.minimum(costs, limit).astype(np.float64)
    lengths = np.diff(ends, axis=-1, append=float(limit))
    first = ends[..., 0] if ends.shape[-1] else np.full(ends.shape[:-1], float(limit))
    return np.asarray((floor * first + (lengths * running).sum(axis=-1)) / limit)


def cost_to_reach(result: SearchResult, target: float, axis: Axis = "completion_tokens") -> float:
    """Cost at which the first answer with a scalar of at least ``target`` was in hand; infinity if none was."""
    for candidate, cost in zip(result.candidates, arrivals(result, axis).tolist(), strict=True):
        if candidate.scalar >= target - _ROUNDING:
            return float(cost)
    return math.inf


def num_signatures(result: SearchResult) -> int:
    """Number of distinct reward vectors among the answers: kinds of answer that the evaluator tells apart."""
    return len({candidate.vector for candidate in result.candidates})


def duplicate_rate(result: SearchResult) -> float:
    """Share of the answers that the search had seen before; NaN if it has no answer."""
    if not result.candidates:
        return math.nan
    return sum(candidate.duplicate for candidate in result.candidates) / len(result.candidates)
