"""Minimum overlap and the first autocorrelation inequality: step functions with exact integrals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.problems import get_problems
from search.problems.autocorrelation import autoconvolution_peak
from search.problems.minimum_overlap import BEST, largest_overlap
from search.problems.step_functions import UNITS, convolution

# AlphaEvolve's 95 heights (arXiv 2506.13131; google-deepmind/alphaevolve_results, CC BY 4.0); below 1e-5 as 0
# fmt: off
ALPHAEVOLVE_95 = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.506074303, 0.632046692, 0.679332798, 0.888193865,
    0.889214704, 0.678231235, 0.0, 0.0947643739, 0.0143926342, 0.423931858, 0.598073612, 0.803909612, 0.683098916,
    0.314749384, 0.404059484, 0.858443734, 0.796503042, 0.590433152, 0.41056218, 0.270932695, 0.613384276,
    0.709501647, 0.580573615, 0.803538112, 0.715263878, 0.822611331, 0.808433879, 0.683533985, 0.645719012,
    0.889417725, 0.943389845, 0.841536959, 0.794505216, 0.941943428, 0.962223227, 0.961270753, 0.992409079,
    0.961270753, 0.962223227, 0.941943428, 0.794505216, 0.841536959, 0.943389845, 0.889417725, 0.645719012,
    0.683533985, 0.808433879, 0.822611331, 0.715263878, 0.803538112, 0.580573615, 0.709501647, 0.613384276,
    0.270932695, 0.41056218, 0.590433152, 0.796503042, 0.858443734, 0.404059484, 0.314749384, 0.683098916,
    0.803909612, 0.598073612, 0.423931858, 0.0143926342, 0.0947643739, 0.0, 0.678231235, 0.889214704, 0.888193865,
    0.679332798, 0.632046692, 0.506074303, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
]
# fmt: on


def brute_force_overlap(heights: list[Fraction]) -> Fraction:
    """The largest sum over i of h_i (1 - h_{i+k}), in fractions."""
    n = len(heights)
    sums = [sum(heights[i] * (1 - heights[i + k]) for i in range(n) if 0 <= i + k < n) for k in range(-n + 1, n)]
    return max(sums) * Fraction(2, n)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=9), st.lists(st.integers(0, 2**40), min_size=1, max_size=9))
def test_the_convolution_is_that_of_plain_loops(first, second):
    wanted = [0] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            wanted[i + j] += a * b
    assert convolution(first, second) == wanted


def test_the_published_heights_have_the_published_overlap():
    assert largest_overlap(ALPHAEVOLVE_95, 95) == pytest.approx(0.380923, abs=1e-7)


@pytest.mark.parametrize(
    ("heights", "overlap"),
    [
        ([0.5] * 6, 0.5),  # 1/2 * 1/2 over a length of 2
        ([0.0, 1.0, 1.0, 0.0], 0.5),  # shifted by one or more, the middle lies on one of the ends: length 1/2
        ([1.0, 1.0, 0.0, 0.0], 1.0),  # shifted by 1 it lies on its complement
        ([0.5, 0.5, 1.0, 0.5, 0.5, 0.0], 0.5),
    ],
)
def test_hand_computed_overlaps(heights, overlap):
    exact = brute_force_overlap([Fraction(height) for height in heights])
    assert largest_overlap(heights, len(heights)) == pytest.approx(float(exact), abs=1e-11)
    assert float(exact) == overlap


@settings(deadline=None)
@given(st.lists(st.integers(0, 8), min_size=2, max_size=8))
def test_overlaps_of_balanced_heights_are_those_of_the_definition(eighths):
    heights = [Fraction(each, 8) for each in eighths] + [1 - Fraction(each, 8) for each in eighths]
    found = largest_overlap([float(height) for height in heights], len(heights))
    assert found == pytest.approx(float(brute_force_overlap(heights)), abs=1e-15)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_heights_of_any_sum_are_scaled_to_integral_one_and_never_beat_the_lower_bound(heights):
    if max(heights) == 0:
        heights = [*heights[1:], 0.5]
    found = largest_overlap(heights, len(heights))
    assert 0.379005 <= found <= 1.0  # White 2023 proved the bound for every h that fits


@pytest.mark.parametrize("heights", [[2.0, 0.0], [-0.1, 1.0], [1e300, 0.0]])
def test_heights_outside_of_their_range_are_refused(heights):
    with pytest.raises(ValueError, match="outside of"):
        largest_overlap(heights, 2)


def test_a_small_search_of_ours_comes_near_the_best_known_overlap():
    program = """
import numpy as np
from scipy.optimize import linprog


def step_heights(n):
    # sequential linear programming: lower the highest overlaps of the current heights
    half = n // 2
    rng = np.random.default_rng(0)
    x = (np.arange(half) + 0.5) / half
    h = np.clip(0.35 + 0.6 * x + 0.05 * rng.random(half), 0, 1)
    h *= half / 2 / h.sum()
    spread = np.r_[np.eye(half), np.eye(half)[::-1]]
    best, best_value, radius = h, 9.0, 0.05
    for _ in range(60):
        full = spread @ h
        overlaps = np.correlate(full, 1 - full, "full") * 2 / n
        if overlaps.max() < best_value:
            best, best_value = h, overlaps.max()
        else:
            h, radius = best, radius / 2
            full = spread @ h
            overlaps = np.correlate(full, 1 - full, "full") * 2 / n
        rows = np.array([
            (np.convolve(np.eye(n)[i], (1 - full)[::-1]) - np.convolve(full, np.eye(n)[i][::-1])) * 2 / n
            for i in range(n)
        ])
        gradient = rows.T @ spread
        found = linprog(
            np.r_[np.zeros(half), 1.0],
            A_ub=np.c_[gradient, -np.ones(len(gradient))], b_ub=gradient @ h - overlaps,
            A_eq=np.r_[np.ones(half), 0.0][None], b_eq=[half / 2],
            bounds=[(max(0, a - radius), min(1, a + radius)) for a in h] + [(0, 1)],
        )
        if not found.success:
            break
        h = found.x[:half]
    return spread @ best
"""
    (problem,) = get_problems("minimum_overlap", sizes=(20, 40))
    (evaluation,) = problem.evaluate([program])
    assert evaluation.status == "ok", evaluation.artifact
    assert 0.9 < evaluation.vector[1] < 1.0
    assert problem.w_star == (0.0, 1.0) and problem.scalar(evaluation.vector) == evaluation.vector[1]


@pytest.mark.parametrize(
    ("heights", "peak"),
    [([1.0] * 7, 2.0), ([3.0], 2.0), ([1.0, 0.0], 4.0), ([1.0, 1.0, 2.0], 1.875), ([1e-300, 1e-300], 2.0)],
)
def test_hand_computed_peaks(heights, peak):
    # (1, 1, 2): autoconvolution 1, 2, 5, 4, 4; 2 * 3 * 5 / 4^2
    assert autoconvolution_peak(heights, len(heights)) == pytest.approx(peak, rel=1e-11)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(lambda heights: max(heights) > 1e-3))
def test_peaks_are_numpys_and_never_below_the_proven_bound(heights):
    peak = autoconvolution_peak(heights, len(heights))
    plain = 2 * len(heights) * np.convolve(heights, heights).max() / np.sum(heights) ** 2
    assert peak == pytest.approx(plain, rel=1e-9)
    assert peak >= 1.28  # Cloninger and Steinerberger 2017


@pytest.mark.parametrize("heights", [[0.0, 0.0], [-1.0, 2.0], [float("nan"), 1.0]])
def test_heights_without_an_integral_are_refused(heights):
    with pytest.raises(ValueError, match="expected"):
        autoconvolution_peak(heights, 2)


def test_heights_are_rounded_by_less_than_any_digit_that_was_reported():
    assert 1 / UNITS < 1e-12
    assert largest_overlap([0.5] * 100, 100) == 0.5 and BEST < 0.381
