"""Circles in the unit square: n of them, not overlapping, with the largest sum of radii.

The example of AlphaEvolve (arXiv 2506.13131, B.12; n = 26 and 32) and of most public searches since. Tolerances of 1e-6
have decided that contest more than once: programs that are ahead by overlaps of 1e-7. Here nothing is tolerated. Radii
that overlap are shrunk until the packing is feasible, which is checked in exact arithmetic, and the sum of what is left
is the score; or, with ``feasibility="strict"``, a packing that is not exactly feasible as it was returned earns 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from search.problems.open_problem import BestKnown, OpenProblem, Setting, check_sizes
from search.problems.programs import ProgramEvaluator
from vpo.sandbox import as_finite_array

if TYPE_CHECKING:
    import numpy as np

Feasibility = Literal["shrink", "strict"]
_CLEAR = 1e-9  # two circles that far apart in floating point are apart: coordinates in [0, 1] are exact to 1e-15
_STEP = 2.0**-54  # what rounding leaves is taken off in steps that begin here and double
_KNOWN = {
    26: BestKnown(
        scalar=2.6359830853,
        source="sum of radii; public boards, 2026 (AlphaEvolve 2.63586, ShinkaEvolve 2.6359828, ThetaEvolve 2.6359831)",
    ),
    32: BestKnown(scalar=2.9379445262, source="sum of radii; AlphaEvolve, arXiv 2506.13131, B.12, recomputed"),
}
_STATEMENT = """\
Place n circles in the unit square, so that no two overlap, none reaches beyond the square, and the sum of their radii \
is as large as can be. Write a Python function `pack(n)` that returns a list of n circles [x, y, r]. It is called for \
n = {sizes}; the score is the sum of radii. {rule}"""
_RULES = {
    "shrink": "Overlaps, however small, are removed by shrinking the circles before the score is taken.",
    "strict": "An overlap, however small (in exact arithmetic on the numbers returned), makes the score 0.",
}
_SEED = """\
import math


def pack(n):
    # a square grid of equal circles
    k = math.ceil(math.sqrt(n))
    r = 1 / (2 * k)
    return [[(2 * (i % k) + 1) * r, (2 * (i // k) + 1) * r, r] for i in range(n)]
"""


def circle_packing(
    setting: Setting, *, sizes: int | Sequence[int] = (26,), feasibility: Feasibility = "shrink"
) -> OpenProblem:
    """The problem, with a component for each size: the sum of radii.

    Args:
        setting: How it is asked and run.
        sizes: Numbers of circles; ``range(20, 33)`` for a vector that rewards programs that generalise. w* is uniform.
        feasibility: What becomes of packings that are not exactly feasible.
    """
    numbers = check_sizes(sizes, 1, 200, "sizes")
    if feasibility not in _RULES:
        raise ValueError(f"feasibility is {feasibility!r}: expected 'shrink' or 'strict'.")
    evaluator = ProgramEvaluator(
        "pack",
        lambda value, n: sum_of_radii(value, n, feasibility),
        cases=[[n] for n in numbers],
        components=[f"sum_radii_{n}" for n in numbers],
        limits=setting.limits,
        sandbox=setting.sandbox,
    )
    shown = ", ".join(map(str, numbers))
    grid = math.fsum(n / (2 * math.ceil(math.sqrt(n))) for n in numbers) / len(numbers)
    return OpenProblem(
        name="circle_packing",
        statement=_STATEMENT.format(sizes=shown, rule=_RULES[feasibility]),
        seed_program=_SEED,
        evaluator=evaluator,
        w_star=(1 / len(numbers),) * len(numbers),
        best_known=_KNOWN.get(numbers[0]) if len(numbers) == 1 else None,
        references={"square grid": grid},
        setting=setting,
        id=f"circle_packing-{shown.replace(', ', '-')}" + ("-strict" if feasibility == "strict" else ""),
    )


def sum_of_radii(value: Any, n: int, feasibility: Feasibility = "shrink") -> float:
    """Score of n circles [x, y, r].

    Raises:
        ValueError: They are no such circles, or strictness finds them overlapping.
    """
    circles = as_finite_array(value, (n, 3))
    if (circles[:, 2] < 0).any():
        raise ValueError("a radius is negative")
    if (circles[:, :2] < 0).any() or (circles[:, :2] > 1).any():
        raise ValueError("a centre lies outside of the unit square")
    if feasibility == "strict":
        reason = overlap(circles)
        if reason is not None:
            raise ValueError(reason)
    return math.fsum(shrunk(circles)[:, 2])


def shrunk(circles: np.ndarray) -> np.ndarray:
    """The circles with radii reduced until they are exactly feasible; a feasible packing comes back as it is.

    Args:
        circles: (n, 3) x, y, r with centres in the unit square and no negative radius.
    """
    found = [[float(x), float(y), float(r)] for x, y, r in circles]
    for circle in found:
        x, y, r = circle
        circle[2] = min(r, x, y) if 1 - x >= r and 1 - y >= r else max(0.0, min(r, x, y, 1 - x, 1 - y))
        step = _STEP
        while not _inside(*circle):
            circle[2], step = max(0.0, circle[2] - step), 2 * step
    for i, first in enumerate(found):
        for second in found[:i]:
            distance = math.hypot(first[0] - second[0], first[1] - second[1])
            too_much = first[2] + second[2] - distance
            if too_much < -_CLEAR or _apart(first, second):
                continue
            half = max(too_much, 0.0) / 2
            taken = min(half, first[2]), min(half, second[2])
            first[2] -= taken[0] + (half - taken[1])  # what one has not, the other gives
            second[2] -= taken[1] + (half - taken[0])
            first[2], second[2], step = max(first[2], 0.0), max(second[2], 0.0), _STEP
            while not _apart(first, second):
                first[2], second[2], step = max(0.0, first[2] - step), max(0.0, second[2] - step), 2 * step
    import numpy as np

    return np.array(found)


def overlap(circles: np.ndarray) -> str | None:
    """What is wrong with a packing, in exact arithmetic on its numbers; None if nothing is."""
    found = [(float(x), float(y), float(r)) for x, y, r in circles]
    for i, first in enumerate(found):
        if not _inside(*first):
            return f"circle {i} reaches beyond the square"
        for j, second in enumerate(found[:i]):
            if not _apart(first, second):
                return f"circles {j} and {i} overlap"
    return None


def _inside(x: float, y: float, r: float) -> bool:
    radius = Fraction(r)
    return r >= 0 and all(radius <= Fraction(c) and radius <= 1 - Fraction(c) for c in (x, y))


def _apart(first: Sequence[float], second: Sequence[float]) -> bool:
    (x, y, r), (u, v, s) = (map(Fraction, each) for each in (first, second))
    return (r + s) ** 2 <= (x - u) ** 2 + (y - v) ** 2
