from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from search.problems import get_problems
from search.problems.heilbronn import convex_share, regular_polygon_share, triangle_share

# AlphaEvolve's points (arXiv 2506.13131, B.9 and B.10; google-deepmind/alphaevolve_results, CC BY 4.0): 11 in the
# triangle with corners (0, 0), (1, 0), (1/2, sqrt(3)/2), and 13 in a convex region
EQUILATERAL_11 = [
    [0.855969059106645, 0.0],
    [0.2956511458813343, 0.0],
    [0.5084386802534074, 0.7384882411813929],
    [0.4328408482561001, 0.32744948893270326],
    [0.6757703386424172, 0.2918847665632379],
    [0.13872648895775305, 0.2402813272304711],
    [0.11466976286752831, 0.05646046982765845],
    [0.647825572940666, 0.609984000793226],
    [0.3612735110422483, 0.6257440765539699],
    [0.5851055464997592, 0.13484874011447245],
    [0.9279845295533241, 0.12473445374461754],
]
CONVEX_13 = [
    [0.7262503272554176, 0.4388890568372681],
    [0.5700515606090156, 0.3079437775114338],
    [0.6327871120895331, 0.5328479759933831],
    [0.6416207987804122, 0.31270211238697715],
    [0.5148490471164644, 0.3395137443428024],
    [0.5679223148906077, 0.5390628289790125],
    [0.495131275787839, 0.41235659338159497],
    [0.5800095646202962, 0.46771551597629857],
    [0.6499329141672348, 0.3910833999601802],
    [0.5584150294032443, 0.38652266849736683],
    [0.7052096091448784, 0.48702642736130247],
    [0.7055856016358004, 0.3662981535556451],
    [0.5096822331932992, 0.49886360333134927],
]
ALPHAEVOLVE_11 = [[x - y / math.sqrt(3), 2 * y / math.sqrt(3)] for x, y in EQUILATERAL_11]


def areas(points):
    return [
        abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) / 2 for a, b, c in combinations(points, 3)
    ]


def test_published_points_are_worth_what_was_published():
    assert triangle_share(ALPHAEVOLVE_11, 11) == pytest.approx(0.036529889880, abs=1e-12)
    assert convex_share(CONVEX_13, 13) == pytest.approx(0.030936889035, abs=1e-12)


def test_hand_computed_triangles():
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert triangle_share(corners, 3) == 1.0
    assert triangle_share([*corners, [1 / 3, 1 / 3]], 4) == pytest.approx(1 / 3, abs=1e-15)  # the centroid
    square = [[0, 0], [2, 0], [2, 2], [0, 2]]
    assert convex_share(square, 4) == 0.5
    assert convex_share([*square, [1, 1]], 5) == 0.0  # its centre lies on a line with two corners


@pytest.mark.parametrize("n", [3, 5, 13])
def test_a_regular_polygon_has_the_share_of_its_formula(n):
    (problem,) = get_problems("heilbronn_convex", sizes=n)
    (evaluation,) = problem.evaluate([problem.seed_program])
    assert evaluation.vector[0] == pytest.approx(regular_polygon_share(n), rel=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=7))
def test_shares_are_those_of_plain_floating_point(points):
    folded = [(x, y) if x + y <= 1 else (1 - x, 1 - y) for x, y in points]
    assert triangle_share(folded, len(folded)) == pytest.approx(2 * min(areas(folded)), abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=8, unique=True))
def test_the_hull_is_scipys(points):
    exact = [tuple(map(Fraction, point)) for point in points]
    if not any(areas(exact)):
        with pytest.raises(ValueError, match="on one line"):
            convex_share(points, len(points))
        return
    hull = ConvexHull(np.array(points, float)).volume
    assert convex_share(points, len(points)) == pytest.approx(float(min(areas(exact))) / hull, rel=1e-12)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-9, 9))
def test_a_convex_share_does_not_depend_on_scale_or_place(scale, shift):
    moved = [[scale * x + shift, scale * y] for x, y in CONVEX_13]
    assert convex_share(moved, 13) == pytest.approx(convex_share(CONVEX_13, 13), rel=1e-6)


def test_a_point_outside_is_refused_unless_it_is_rounding_and_then_it_gains_nothing():
    with pytest.raises(ValueError, match="outside of the triangle"):
        triangle_share([[0, 0], [1, 0], [0, 1 + 1e-5]], 3)
    with pytest.raises(ValueError, match="outside of the triangle"):
        triangle_share([[0, 0], [1, 0], [-1e300, 1e300]], 3)
    assert triangle_share([[0, -1e-7], [1 + 1e-7, -1e-7], [0, 1 + 1e-7]], 3) <= 1.0


def test_equal_points_earn_nothing():
    assert triangle_share([[0.2, 0.2]] * 11, 11) == 0.0
    with pytest.raises(ValueError, match="on one line"):
        convex_share([[0.2, 0.2]] * 13, 13)
