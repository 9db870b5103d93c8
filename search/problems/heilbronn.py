"""Heilbronn's problem: n points in a triangle, or in a convex region, whose smallest triangle is as large as can be.

AlphaEvolve (arXiv 2506.13131, B.9 and B.10): n = 11 in a triangle, n = 13 and 14 in a convex region. Areas are counted
as shares of the region's, so any triangle is as good as any other; here it is (0, 0), (1, 0), (0, 1), in which
everything is rational, and areas are exact. The convex region is the hull of the points themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal

from search.problems.open_problem import BestKnown, OpenProblem, Setting, check_sizes, only_last
from search.problems.programs import ProgramEvaluator
from vpo.sandbox import as_finite_array

Region = Literal["triangle", "convex"]
Point = tuple[Fraction, Fraction]
_MOVED = 1e-6  # points that far outside of the triangle, from rounding most likely, are moved in; others are invalid
_SOURCE = "share of the region's area; AlphaEvolve, arXiv 2506.13131, {}, recomputed"
_KNOWN: dict[tuple[str, int], BestKnown] = {
    ("triangle", 11): BestKnown(scalar=0.03652988988003, source=_SOURCE.format("B.9")),
    ("convex", 13): BestKnown(scalar=0.030936889034896, source=_SOURCE.format("B.10")),
    ("convex", 14): BestKnown(scalar=0.027835571458482, source=_SOURCE.format("B.10")),
}
_WHERE = {
    "triangle": (
        "in the triangle with corners (0, 0), (1, 0) and (0, 1), its border included",
        "the area of the smallest triangle that three of the points form, divided by 1/2, the area of the whole",
    ),
    "convex": (
        "in the plane",
        "the area of the smallest triangle that three of the points form, divided by the area of their convex hull",
    ),
}
_STATEMENT = """\
Place n points {where}, so that no three of them form a small triangle. Write a Python function `points(n)` that \
returns a list of n points [x, y]. It is called for n = {sizes}; the score is {score}: the larger, the better. Three \
points on a line make it 0."""
_SEEDS = {
    "triangle": """\
def points(n):
    # along a curve in the triangle that bends everywhere, so no three are on a line
    ts = [(i + 0.5) / n for i in range(n)]
    return [[t * t, (1 - t) * (1 - t)] for t in ts]
""",
    "convex": """\
import math


def points(n):
    # a regular polygon
    return [[math.cos(2 * math.pi * i / n), math.sin(2 * math.pi * i / n)] for i in range(n)]
""",
}


def heilbronn(
    setting: Setting, *, region: Region = "triangle", sizes: int | Sequence[int] | None = None
) -> OpenProblem:
    """The problem, with a component for each size: the smallest triangle's share. w* is the largest size's.

    Args:
        setting: How it is asked and run.
        region: Of the points.
        sizes: Numbers of points; by default 11 in a triangle, 13 in a convex region.
    """
    if region not in _WHERE:
        raise ValueError(f"region is {region!r}: expected 'triangle' or 'convex'.")
    numbers = check_sizes((11 if region == "triangle" else 13) if sizes is None else sizes, 3, 40, "sizes")
    shown = ", ".join(map(str, numbers))
    where, score = _WHERE[region]
    return OpenProblem(
        name=f"heilbronn_{region}",
        statement=_STATEMENT.format(where=where, sizes=shown, score=score),
        seed_program=_SEEDS[region],
        evaluator=ProgramEvaluator(
            "points",
            triangle_share if region == "triangle" else convex_share,
            cases=[[n] for n in numbers],
            components=[f"smallest_{n}" for n in numbers],
            limits=setting.limits,
            sandbox=setting.sandbox,
        ),
        w_star=only_last(len(numbers)),
        best_known=_KNOWN.get((region, numbers[-1])),
        setting=setting,
        id=f"heilbronn_{region}-{shown.replace(', ', '-')}",
    )


def triangle_share(value: Any, n: int) -> float:
    """Twice the smallest area of three of n points of the triangle (0, 0), (1, 0), (0, 1).

    Raises:
        ValueError: They are no such points.
    """
    found = [_moved_in(float(x), float(y)) for x, y in as_finite_array(value, (n, 2))]
    return float(_smallest(found))


def convex_share(value: Any, n: int) -> float:
    """Smallest area of three of n points, by that of their hull.

    Raises:
        ValueError: They are no such points, or all on one line.
    """
    found = [(Fraction(float(x)), Fraction(float(y))) for x, y in as_finite_array(value, (n, 2))]
    hull = _hull(found)
    doubled = sum(_doubled(hull[0], hull[i], hull[i + 1]) for i in range(1, len(hull) - 1))
    if not doubled:
        raise ValueError("all points lie on one line")
    return float(_smallest(found) / doubled)


def _moved_in(x: float, y: float) -> Point:
    if min(x, y) < -_MOVED or x + y > 1 + _MOVED:
        raise ValueError(f"the point ({x!r}, {y!r}) lies outside of the triangle")
    inner, other = max(Fraction(x), Fraction(0)), max(Fraction(y), Fraction(0))
    total = inner + other
    return (inner / total, other / total) if total > 1 else (inner, other)


def _doubled(a: Point, b: Point, c: Point) -> Fraction:
    """Twice the area of a triangle, negative if it runs clockwise."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])


def _smallest(points: Sequence[Point]) -> Fraction:
    return min(abs(_doubled(*three)) for three in combinations(points, 3))


def _hull(points: Sequence[Point]) -> list[Point]:
    """Corners of the convex hull, counterclockwise (Andrew's monotone chain)."""
    ordered = sorted(set(points))
    chains = []
    for run in (ordered, ordered[::-1]):
        chain: list[Point] = []
        for point in run:
            while len(chain) > 1 and _doubled(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains += chain[:-1]
    return chains


def regular_polygon_share(n: int) -> float:
    """What the seed of the convex problem earns: three neighbours of a regular n-gon, by the polygon."""
    step = 2 * math.pi / n
    return (2 * math.sin(step) - math.sin(2 * step)) / (n * math.sin(step))
