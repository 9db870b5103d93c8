"""The first autocorrelation inequality: a nonnegative step function whose autoconvolution has a low peak.

For f >= 0 on [-1/4, 1/4] the largest value of f * f, divided by the square of f's integral, bounds the constant from
above (Matolcsi and Vinuesa 2010, arXiv 0907.1379; AlphaEvolve B.1, arXiv 2506.13131). The autoconvolution of a step
function is linear between multiples of the step's width, so its peak is at one of them. Scale does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from search.problems.open_problem import OpenProblem, Setting
from search.problems.step_functions import convolution, whole_heights
from search.problems.step_heights import step_heights_problem

BEST = 1.5028609
_STATEMENT = """\
The first autocorrelation inequality. A step function f on [-1/4, 1/4] has n steps of equal width with heights of at \
least 0. Make C, the largest value of its autoconvolution (f * f)(t) over all t, divided by the square of its \
integral, as small as can be; with heights h that is C = 2 n max(convolve(h, h)) / sum(h)^2. Write a Python function \
`step_heights(n)` that returns the list of n heights. It is called for n = {sizes}; the score of each is {best} / C."""
_SEED = """\
def step_heights(n):
    # a constant
    return [1.0] * n
"""


def autocorrelation(setting: Setting, *, sizes: int | Sequence[int] = (50, 100, 200)) -> OpenProblem:
    """The problem, with a component for each number of steps: best known C / C. w* is the largest size's.

    Args:
        setting: How it is asked and run.
        sizes: Numbers of steps.
    """
    return step_heights_problem(
        "autocorrelation",
        "peak",
        setting,
        sizes,
        least=1,
        statement=_STATEMENT,
        seed_program=_SEED,
        constant=autoconvolution_peak,
        best=BEST,
        source=f"C = {BEST}, public board, 2026, with tens of thousands of steps (Matolcsi-Vinuesa 1.50973 with "
        "208, AlphaEvolve 1.505294 with 600, later 1.503164; TTT-Discover 1.502863 with 30000)",
        references={"constant": 2.0, "Matolcsi-Vinuesa, 208 steps": 1.50973},
    )


def autoconvolution_peak(value: Any, n: int) -> float:
    """C of n heights, exact up to the last rounding.

    Raises:
        ValueError: They are no n heights of at least 0.
    """
    heights = whole_heights(value, n)
    return float(Fraction(2 * n * max(convolution(heights, heights)), sum(heights) ** 2))
