"""Erdos' minimum overlap problem: a step function whose overlap with its complement is small wherever it is shifted.

For h on [0, 2] with values in [0, 1] and integral 1, the largest over k of the integral of h(x) (1 - h(x + k)) bounds
the constant from above (Haugland 2016, arXiv 1609.08000; AlphaEvolve B.6, arXiv 2506.13131). Heights whose integral is
not 1 are scaled towards 0 or towards 1 until it is, in whole units, so the value is that of a function that fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from search.problems.open_problem import OpenProblem, Setting
from search.problems.step_functions import UNITS, convolution, whole_heights
from search.problems.step_heights import step_heights_problem
from vpo.sandbox import as_finite_array

BEST = 0.38087532
_OUTSIDE = 1e-6  # heights that far outside of [0, 1] are rounding, and moved in
_STATEMENT = """\
Erdos' minimum overlap problem. A step function h on [0, 2] has n steps of equal width with heights in [0, 1] and \
integral 1 (so the heights sum to n/2). Its overlap at k is the integral over x in [0, 2] of h(x) (1 - h(x + k)), \
where 1 - h counts as 0 outside of [0, 2]. Make C, the largest overlap over all k, positive and negative, small. Write \
a Python function `step_heights(n)` that returns the list of n heights. It is called for n = {sizes}; the score \
of each is {best} / C. Heights whose sum is not n/2 are scaled to it."""
_SEED = """\
def step_heights(n):
    # a constant, and a little less of it at both ends
    edge = n // 5
    inner = (n / 2 - 2 * edge * 0.25) / (n - 2 * edge)
    return [0.25 if i < edge or i >= n - edge else inner for i in range(n)]
"""


def minimum_overlap(setting: Setting, *, sizes: int | Sequence[int] = (50, 100, 200)) -> OpenProblem:
    """The problem, with a component for each number of steps: best known C / C. w* is the largest size's.

    Args:
        setting: How it is asked and run.
        sizes: Numbers of steps.
    """
    return step_heights_problem(
        "minimum_overlap",
        "overlap",
        setting,
        sizes,
        least=2,
        statement=_STATEMENT,
        seed_program=_SEED,
        constant=largest_overlap,
        best=BEST,
        source=f"C = {BEST} with 600 steps, TTT-Discover (Haugland 2016: 0.380927 with 51, AlphaEvolve 0.380924)",
        references={"constant 1/2": 0.5, "Haugland 2016, 51 steps": 0.380927},
    )


def largest_overlap(value: Any, n: int) -> float:
    """C of n heights, exact up to the last rounding.

    Raises:
        ValueError: They are no n heights in [0, 1].
    """
    heights = as_finite_array(value, (n,))
    if heights.min() < -_OUTSIDE or heights.max() > 1 + _OUTSIDE:
        raise ValueError("a height lies outside of [0, 1]")
    whole = _integral_one(whole_heights(heights.clip(0, 1).tolist(), n, largest=1.0))
    overlaps = convolution(whole, [UNITS - each for each in reversed(whole)])
    return float(Fraction(2 * max(overlaps), n * UNITS * UNITS))


def _integral_one(heights: list[int]) -> list[int]:
    """Heights in units, scaled towards 0 or towards 1 so that they sum to half of all there could be."""
    n, half, total = len(heights), len(heights) * UNITS // 2, sum(heights)
    if total > half:
        heights = [each * half // total for each in heights]
    elif total < half:
        rest = n * UNITS - total
        heights = [UNITS - (UNITS - each) * half // rest for each in heights]
    missing = half - sum(heights)  # units lost in rounding, less than one a height
    for i, each in enumerate(heights):
        step = (missing > 0 and each < UNITS) - (missing < 0 < each)
        heights[i] += step
        missing -= step
    return heights
