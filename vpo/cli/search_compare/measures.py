"""What searches found, as arrays over seeds and problems.

Letters: S seeds, P problems, X grid points, D components, K weightings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.hypervolume import pool_hypervolume
from eval.metrics import simplex_weightings
from search.curves import Axis, best_so_far, expected_best_so_far
from search.measures import area_under_best, cost_to_reach, duplicate_rate, num_signatures
from search.orderings import mean_over_orders
from search.records import SearchResult

Array = NDArray[np.float64]
Results = Sequence[Sequence[SearchResult]]  # by seed, by problem

AXES: tuple[Axis, Axis] = ("completion_tokens", "answers")
_TASTES = 100
_POINTS = 50
_SMALL = 12


@dataclass(frozen=True)
class Grids:
    """Where curves are looked at, and how far areas go.

    Attributes:
        points: Axis -> (X,) costs.
        limits: Axis -> end of the area under a curve: the token budget, and answers that every arm could pay for.
        floor: Scalar before the first answer.
        reference: Corner of the hypervolume.
    """

    points: Mapping[Axis, Array]
    limits: Mapping[Axis, float]
    floor: float = 0.0
    reference: float = 0.0


@dataclass(frozen=True)
class Arm:
    """One policy with one procedure.

    Attributes:
        figures: Name -> (S, P), one number for each search.
        best: Axis -> (S, P, X) best scalar so far.
        expected: Axis -> (S, P, X) E_w of the best so far, over K weightings drawn uniformly from the simplex.
        single_order: Axis -> (S, P, X) ``best`` in the order in which the answers came; the same array unless the
            draws are independent.
        results: The searches.
    """

    figures: Mapping[str, Array]
    best: Mapping[Axis, Array]
    expected: Mapping[Axis, Array]
    single_order: Mapping[Axis, Array]
    results: Results

    def costs(self, targets: Sequence[float]) -> Array:
        """(S, P) tokens to reach each problem's target, (P,); infinite where it was not reached."""
        return np.array(
            [[cost_to_reach(r, goal) for r, goal in zip(found, targets, strict=True)] for found in self.results]
        )


def grids_of(arms: Mapping[str, Results], budget: int, floor: float, reference: float) -> Grids:
    """Grids that all arms share.

    The area over answers ends where the arm that could pay for fewest has spent its budget (in the mean over its
    searches), so that it is hardly made of curves that have ended.
    """
    counts = [np.mean([_spent(result) for found in by_seed for result in found]) for by_seed in arms.values()]
    most = max(1, math.ceil(max(counts)))
    # Small budgets in smaller steps: there it shows how long a policy keeps one waiting for its first answer
    tokens = [np.geomspace(budget / 100, budget / 10, _SMALL), np.linspace(budget / _POINTS, budget, _POINTS)]
    return Grids(
        points={
            "completion_tokens": np.unique(np.concatenate(tokens).round().clip(1)),
            "answers": np.unique(np.geomspace(1, most, _POINTS).round()),
        },
        limits={"completion_tokens": float(budget), "answers": float(max(1, math.floor(min(counts))))},
        floor=floor,
        reference=reference,
    )


def measure(results: Results, grids: Grids, independent: bool) -> Arm:
    """Measure the searches of one arm.

    Args:
        results: S lists of P results, problems in the same order.
        grids: Shared by all arms.
        independent: Whether the answers are i.i.d. draws, whose curves are averaged over their orders.
    """
    best: dict[Axis, Array] = {}
    expected: dict[Axis, Array] = {}
    single: dict[Axis, Array] = {}
    areas: dict[Axis, Array] = {}
    for axis in AXES:
        grid, limit = grids.points[axis], grids.limits[axis]
        single[axis] = np.stack([best_so_far(found, grid, axis, floor=grids.floor) for found in results])
        if independent:
            orders = [[_over_orders(result, grids, axis, None) for result in found] for found in results]
            best[axis] = np.array([[curve for curve, _ in row] for row in orders])
            areas[axis] = np.array([[area for _, area in row] for row in orders])
            expected[axis] = np.array(
                [[_over_orders(result, grids, axis, _tastes(result))[0] for result in found] for found in results]
            )
        else:
            best[axis] = single[axis]
            areas[axis] = np.array(
                [[area_under_best(result, limit, axis, floor=grids.floor) for result in found] for found in results]
            )
            expected[axis] = np.array(
                [
                    [expected_best_so_far([r], grid, _tastes(r), axis, floor=grids.floor)[0] for r in found]
                    for found in results
                ]
            )
    figures = {
        "best": best["completion_tokens"][..., -1],
        "E_w[best]": expected["completion_tokens"][..., -1],
        "AUC over tokens": areas["completion_tokens"],
        "AUC over answers": areas["answers"],
        "hypervolume": _each(results, lambda result: _volume(result, grids.reference)),
        "signatures": _each(results, num_signatures),
        "duplicates": _each(results, duplicate_rate),
        "answers": _each(results, _spent),
        "tokens": _each(results, lambda result: result.completion_tokens[-1] if result.completion_tokens else 0),
    }
    return Arm(figures, best, expected, single, results)


def _over_orders(result: SearchResult, grids: Grids, axis: Axis, weights: Array | None) -> tuple[Array, float]:
    found = mean_over_orders(result, grids.points[axis], grids.limits[axis], axis, weights=weights, floor=grids.floor)
    return found.values, found.area


def _tastes(result: SearchResult) -> Array:
    """(K, D) weightings; of a search without an answer D is unknown and of no use."""
    return simplex_weightings(_TASTES, len(result.candidates[0].vector) if result.candidates else 1)


def _volume(result: SearchResult, reference: float) -> float:
    vectors = sorted({candidate.vector for candidate in result.candidates if candidate.status == "ok"})
    return float(pool_hypervolume(vectors, reference)) if vectors else 0.0


def _spent(result: SearchResult) -> int:
    return result.answers[-1] if result.answers else 0


def _each(results: Results, of: Callable[[SearchResult], float]) -> Array:
    return np.array([[of(result) for result in found] for found in results], dtype=np.float64)
