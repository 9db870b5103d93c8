import random
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.selection import complementary

MATRIX = st.integers(1, 4).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(-4, 4).map(float)] * d), min_size=2, max_size=7)
)


def worth(vectors, chosen, weights=None):
    """E_w[max_{s in S} w . r_s], by its definition."""
    tastes = np.eye(len(vectors[0])) if weights is None else weights
    return float(np.mean([max(float(np.dot(w, vectors[i])) for i in chosen) for w in tastes]))


@given(MATRIX, st.data())
def test_partner_of_a_parent_makes_the_best_of_all_pairs(vectors, data):
    parent = data.draw(st.integers(0, len(vectors) - 1))
    best = max(worth(vectors, (parent, other)) for other in range(len(vectors)))
    found = complementary(vectors, [parent], 1)
    if found:
        assert worth(vectors, [parent, *found]) == pytest.approx(best)
    else:
        assert worth(vectors, [parent]) == pytest.approx(best)  # nobody adds anything


@given(MATRIX, st.integers(0, 2**16))
def test_under_given_weightings_the_partner_is_the_best_one_too(vectors, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(vectors[0])), size=5)
    best = max(worth(vectors, (0, other), weights) for other in range(len(vectors)))
    assert worth(vectors, [0, *complementary(vectors, [0], 1, weights=weights)], weights) == pytest.approx(best)


@given(MATRIX, st.integers(1, 4))
def test_greedy_set_reaches_its_guaranteed_share_of_the_best_set(vectors, num):
    """1 - 1/e of the best, counted from the worth of the worst answer under each taste."""
    num = min(num, len(vectors))
    floor = np.mean(np.min(vectors, axis=0))
    best = max(worth(vectors, chosen) for chosen in combinations(range(len(vectors)), num))
    found = complementary(vectors, [], num)
    reached = worth(vectors, found) - floor
    assert reached >= (1 - 1 / np.e) * (best - floor) - 1e-9


@given(MATRIX, st.integers(0, 6))
def test_chosen_rows_never_come_back_and_each_addition_adds(vectors, num):
    found = complementary(vectors, [0], num)
    assert len({0, *found}) == 1 + len(found) <= 1 + num
    values = [worth(vectors, [0, *found[:n]]) for n in range(len(found) + 1)]
    assert all(a < b for a, b in pairwise(values))


@given(MATRIX, st.sampled_from([0.5, 4.0]), st.data())
def test_common_scale_and_origins_do_not_matter(vectors, scale, data):
    shifts = data.draw(st.tuples(*[st.integers(-3, 3)] * len(vectors[0])))
    other = [tuple(scale * r + s for r, s in zip(v, shifts, strict=True)) for v in vectors]
    assert complementary(other, [0], 3) == complementary(vectors, [0], 3)


def test_an_empty_set_gets_its_first_member_even_if_all_are_alike():
    assert complementary([(1.0, 2.0)], [], 3) == [0]
    assert complementary([(1.0, 2.0), (1.0, 2.0)], [], 3) == [0]
    assert complementary([(1.0, 2.0), (1.0, 2.0)], [1], 3) == []


def test_ties_are_broken_by_the_generator_or_by_the_first_row():
    vectors = [(1.0, 0.0), (0.0, 1.0), (0.5, 1.0), (0.0, 0.5)]
    assert complementary(vectors, [0], 1) == [1]
    assert {complementary(vectors, [0], 1, rng=random.Random(seed))[0] for seed in range(20)} == {1, 2}


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"weights has shape \(2, 3\), expected \(K, 2\)"):
        complementary([(1.0, 0.0)], [0], 1, weights=np.ones((2, 3)))
