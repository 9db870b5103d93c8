from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.problems import get_problems
from search.problems.circle_packing import overlap, shrunk, sum_of_radii

# AlphaEvolve's packing of 26 (arXiv 2506.13131, B.12; google-deepmind/alphaevolve_results, CC BY 4.0)
ALPHAEVOLVE_26 = [
    [0.68180423, 0.90401948, 0.09598051040194801],
    [0.90598057, 0.49972596, 0.094019420598057],
    [0.08464495, 0.08464502, 0.084644941535505],
    [0.4818405, 0.1034156, 0.10341558965844],
    [0.48234279, 0.89652324, 0.10347674965232401],
    [0.88928295, 0.11071646, 0.11071644892835401],
    [0.07852351, 0.50033803, 0.07852350214764901],
    [0.27330428, 0.1051224, 0.10512238948776001],
    [0.38153556, 0.70211016, 0.115517618448237],
    [0.13252625, 0.70386646, 0.132047406795258],
    [0.59610341, 0.72720176, 0.10051153994884501],
    [0.59576502, 0.2725969, 0.10054788994521],
    [0.88902242, 0.88902318, 0.11097680890231801],
    [0.68087256, 0.09573004, 0.095730030426996],
    [0.53098174, 0.49996661, 0.13587084641291403],
    [0.90742967, 0.68631006, 0.09257029074297],
    [0.74197859, 0.40386139, 0.095943250405674],
    [0.08471273, 0.91528735, 0.08471263152873601],
    [0.76300349, 0.7598366, 0.069494603050539],
    [0.27358888, 0.89472069, 0.105279299472069],
    [0.13242993, 0.29639184, 0.132426596757339],
    [0.90745313, 0.31316575, 0.092546580745341],
    [0.76284098, 0.23948486, 0.06975189302481001],
    [0.38095848, 0.29797266, 0.115741008425898],
    [0.74207757, 0.59573774, 0.09593309040669],
    [0.27141024, 0.50032568, 0.114361818563817],
]
GAP = (math.sqrt(2) - 1) / 10  # between four circles of radius 1/10
GRID_AND_GAP = [[(2 * (i % 5) + 1) / 10, (2 * (i // 5) + 1) / 10, 0.1] for i in range(25)] + [[0.2, 0.2, GAP]]


def feasible(circles: np.ndarray) -> bool:
    """The definition, in fractions."""
    found = [tuple(map(Fraction, map(float, circle))) for circle in circles]
    inside = all(r >= 0 and x - r >= 0 and x + r <= 1 and y - r >= 0 and y + r <= 1 for x, y, r in found)
    return inside and all(
        (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 >= (a[2] + b[2]) ** 2 for i, a in enumerate(found) for b in found[:i]
    )


def test_the_published_packing_is_feasible_as_it_stands_and_worth_what_was_published():
    assert overlap(np.array(ALPHAEVOLVE_26)) is None
    for feasibility in ("shrink", "strict"):
        assert sum_of_radii(ALPHAEVOLVE_26, 26, feasibility) == pytest.approx(2.6358627564, abs=1e-10)


def test_a_grid_with_a_circle_in_a_gap_has_the_sum_of_its_formula():
    assert sum_of_radii(GRID_AND_GAP, 26) == pytest.approx(2.5 + GAP, abs=1e-12)


def test_an_overlap_of_a_ten_millionth_is_worth_nothing_when_strict_and_gains_nothing_when_shrunk():
    inflated = [[x, y, r + 1e-7] for x, y, r in ALPHAEVOLVE_26]
    with pytest.raises(ValueError, match=r"overlap|beyond the square"):
        sum_of_radii(inflated, 26, "strict")
    honest = sum_of_radii(ALPHAEVOLVE_26, 26)
    assert sum_of_radii(inflated, 26) <= honest + 1e-12  # and what they claim is 26e-7 more


def test_strict_and_shrinking_problems_say_so_of_a_program_with_overlaps():
    program = "def pack(n):\n    return [[0.25, 0.5, 0.25], [0.75, 0.5, 0.25 + 1e-7]]"
    (strict,) = get_problems("circle_packing", sizes=2, feasibility="strict")
    (evaluation,) = strict.evaluate([program])
    assert (evaluation.status, evaluation.vector) == ("invalid", (0.0,)) and "beyond the square" in evaluation.artifact
    (shrinking,) = get_problems("circle_packing", sizes=2)
    (evaluation,) = shrinking.evaluate([program])
    assert evaluation.status == "ok" and 0.4999999 < evaluation.vector[0] <= 0.5


coordinate = st.floats(0, 1)
radius = st.one_of(st.floats(0, 1), st.floats(0, 1e-12), st.just(0.0))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(coordinate, coordinate, radius), min_size=1, max_size=8))
def test_shrinking_gives_a_feasible_packing_and_never_a_larger_radius(circles):
    before = np.array(circles)
    after = shrunk(before)
    assert feasible(after) and overlap(after) is None
    assert (after[:, :2] == before[:, :2]).all() and (after[:, 2] <= before[:, 2]).all()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(coordinate, coordinate, radius), min_size=1, max_size=6))
def test_a_feasible_packing_is_left_as_it_is(circles):
    once = shrunk(np.array(circles))
    assert (shrunk(once) == once).all()


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(coordinate, coordinate, radius), min_size=1, max_size=4))
def test_overlaps_are_found_as_the_definition_finds_them(circles):
    assert (overlap(np.array(circles)) is None) == feasible(np.array(circles))


@pytest.mark.parametrize(
    ("circles", "message"),
    [
        ([[0.5, 0.5, -0.1]], "negative"),
        ([[1.5, 0.5, 0.1]], "outside"),
        ([[0.5, 1e308, 0.1]], "outside"),
        ([[0.5, 0.5]], "shape"),
        ([[0.5, 0.5, float("nan")]], "not finite"),
    ],
)
def test_what_is_no_circle_is_refused(circles, message):
    with pytest.raises(ValueError, match=message):
        sum_of_radii(circles, 1)


def test_a_vector_over_sizes_is_earned_size_by_size():
    (problem,) = get_problems("circle_packing", sizes=range(20, 23))
    assert problem.components == ("sum_radii_20", "sum_radii_21", "sum_radii_22")
    assert problem.best_known is None
    program = problem.seed_program + "\nold = pack\ndef pack(n):\n    return old(n) if n != 21 else [[0, 0, 1]]\n"
    (evaluation,) = problem.evaluate([program])
    assert evaluation.vector == pytest.approx((2.0, 0.0, 2.2)) and evaluation.status == "ok"
    assert "sum_radii_21: invalid: the result has shape (1, 3)" in evaluation.artifact


def test_a_classic_solver_inside_of_a_program_comes_close_to_the_best():
    program = """
import numpy as np
from scipy.optimize import minimize


def pack(n):
    i, j = np.triu_indices(n, 1)
    rows = np.arange(len(i))
    best = None
    for seed in range(8):
        start = np.random.default_rng(seed).random(3 * n)
        start[2 * n:] = 0.05

        def margins(v):
            x, y, r = v[:n], v[n:2 * n], v[2 * n:]
            return np.concatenate(
                [x - r, 1 - x - r, y - r, 1 - y - r, np.hypot(x[i] - x[j], y[i] - y[j]) - r[i] - r[j]]
            )

        found = minimize(
            lambda v: -v[2 * n:].sum(), start, jac=lambda v: np.r_[np.zeros(2 * n), -np.ones(n)],
            constraints={"type": "ineq", "fun": margins}, bounds=[(0, 1)] * (2 * n) + [(0, 0.5)] * n,
            method="SLSQP", options={"maxiter": 80},
        )
        if found.success and (best is None or found.fun < best.fun):
            best = found
    v = best.x
    return np.stack([v[:n], v[n:2 * n], v[2 * n:]], axis=1)
"""
    from vpo.sandbox import Limits

    (problem,) = get_problems("circle_packing", limits=Limits(seconds=200.0))
    (evaluation,) = problem.evaluate([program])
    assert evaluation.status == "ok", evaluation.artifact
    assert 2.6 < evaluation.vector[0] < problem.best_known.scalar
