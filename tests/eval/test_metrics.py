"""Estimators against exhaustive enumeration, published values and their laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.metrics import (
    best_at_k,
    best_at_k_curve,
    best_at_k_sets,
    distinct_answers,
    effective_number,
    expected_best_at_k,
    expected_best_at_k_curve,
    label_shares,
    pass_at_k,
    pool_l1,
    simplex_weightings,
)

UNIT = st.floats(0, 1, width=32)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"), [(8, 2, 4, 0.7857), (64, 4, 16, 0.6938), (5, 0, 3, 0), (5, 3, 3, 1)]
)
def test_pass_at_k_has_the_published_values(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=5e-5)


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_takes_a_vector_of_prompts():
    chances = pass_at_k([[8, 64], [4, 6]], [[2, 4], [0, 3]], 4)
    assert chances.shape == (2, 2)
    assert chances.tolist() == [[pass_at_k(8, 2, 4), pass_at_k(64, 4, 4)], [0, 1]]


def test_pass_at_k_is_best_at_k_of_zeros_and_ones():
    assert best_at_k(np.repeat([1.0, 0.0], [4, 60]), 16) == pytest.approx(pass_at_k(64, 4, 16))


@given(hnp.arrays(float, st.integers(1, 7), elements=UNIT), st.data())
def test_best_at_k_is_the_mean_maximum_over_all_subsets(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    expected = np.mean([max(subset) for subset in itertools.combinations(scores, k)])
    assert best_at_k(scores, k) == pytest.approx(expected, abs=1e-12)


def sets_by_enumeration(values: np.ndarray, k: int) -> float:
    """Every order of the completions, the first k answers of the concatenation."""
    return float(np.mean([max(np.concatenate(order)[:k]) for order in itertools.permutations(values)]))


@given(hnp.arrays(float, st.tuples(st.integers(1, 5), st.integers(1, 3)), elements=UNIT), st.data())
@settings(max_examples=60, deadline=None)
def test_best_at_k_of_sets_is_the_mean_over_all_orders_of_completions(values, data):
    k = data.draw(st.integers(1, values.size))
    assert best_at_k_sets(values, k) == pytest.approx(sets_by_enumeration(values, k), abs=1e-12)


@given(hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3)), elements=UNIT))
@settings(max_examples=40, deadline=None)
def test_best_at_k_of_sets_grows_with_k_and_ignores_the_order_of_completions(values):
    total = values.shape[1] * values.shape[2]
    curve = np.stack([best_at_k_sets(values, k) for k in range(1, total + 1)])
    assert (np.diff(curve, axis=0) >= -1e-12).all()
    assert np.allclose(curve[0], values[..., 0].mean(-1))
    assert np.allclose(curve[-1], values.max((-1, -2)))
    assert np.allclose(best_at_k_sets(values[:, ::-1], max(1, total // 2)), best_at_k_sets(values, max(1, total // 2)))


@given(hnp.arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 7)), elements=UNIT), st.data())
def test_single_answer_sets_are_plain_best_at_k(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    assert np.allclose(best_at_k_sets(scores[..., None], k), best_at_k(scores, k))


def test_best_at_k_curve_has_any_k_in_any_order_and_keeps_leading_dimensions():
    values = np.random.default_rng(2).normal(size=(2, 5, 4, 3)).round(1)  # rounded: ties must not matter
    curve = best_at_k_curve(values)
    assert curve.shape == (2, 5, 12)
    for row in np.ndindex(2, 5):
        assert curve[row] == pytest.approx([sets_by_enumeration(values[row], k) for k in range(1, 13)])
    assert np.array_equal(best_at_k_curve(values, [7, 1, 7]), curve[..., [6, 0, 6]])


@given(hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=st.floats(-1e3, 1e3)), st.data())
def test_best_at_k_lies_between_the_worst_and_the_best_first_answer_and_the_maximum(values, data):
    k = data.draw(st.integers(1, values.size))
    best = best_at_k_sets(values, k)
    assert values[:, 0].mean() - 1e-9 <= best <= values.max() + 1e-9


def test_the_order_of_answers_within_a_completion_matters_the_order_of_completions_does_not():
    values = np.array([[0.0, 1.0], [0.5, 0.2]])
    assert best_at_k_sets(values, 1) == pytest.approx((0 + 0.5) / 2)
    assert best_at_k_sets(values[:, ::-1], 1) == pytest.approx((1 + 0.2) / 2)
    assert best_at_k_curve(values[::-1]) == pytest.approx(best_at_k_curve(values))


def test_a_thousand_completions_are_no_trouble():
    assert best_at_k_curve(np.ones((1000, 2))).tolist() == pytest.approx([1] * 2000)  # all of them tied
    values = np.random.default_rng(3).random((1000, 2))
    curve = best_at_k_curve(values, [1, 999, 1000, 2000])
    assert curve[0] == pytest.approx(values[:, 0].mean())
    assert curve[3] == values.max()
    assert 0.99 < curve[1] < curve[2] < 1  # about 1 - 1/1000: binomials of this size overflow a float


def test_a_coordinated_set_beats_the_same_answers_in_a_loose_pool():
    """Two answers that complement each other within each completion: at k = 2 the set has both for certain."""
    rewards = np.array([[[1.0, 0.0], [0.0, 1.0]]] * 3)  # (C, M, D)
    corners = np.eye(2)
    assert expected_best_at_k(rewards, corners, 2) == 1.0
    loose = rewards.reshape(6, 1, 2)
    assert expected_best_at_k(loose, corners, 2) == pytest.approx(1 - 2 * (3 / 15) / 2)  # both alike in 6 of 15 pairs


def test_expected_best_is_the_mean_over_weightings_in_plain_loops():
    rng = np.random.default_rng(0)
    rewards, weights = rng.random((4, 3, 2, 5)), simplex_weightings(7, 5, seed=1)
    expected = [np.mean([sets_by_enumeration(prompt @ w, 3) for w in weights]) for prompt in rewards]
    assert np.allclose(expected_best_at_k(rewards, weights, 3), expected)
    assert np.allclose(expected_best_at_k_curve(rewards, weights)[:, 2], expected)
    assert np.allclose(weights.sum(1), 1)
    assert np.array_equal(weights, simplex_weightings(7, 5, seed=1))


@given(hnp.arrays(float, st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(1, 3)), elements=UNIT))
def test_pool_l1_is_the_mean_over_pairs(rewards):
    expected = [np.mean([np.abs(a - b).sum() for a, b in itertools.combinations(pool, 2)]) for pool in rewards]
    assert np.allclose(pool_l1(rewards), expected)


def test_pool_l1_at_its_landmarks():
    assert pool_l1(np.ones((4, 3))) == 0
    assert pool_l1(np.array([[0.0, 0, 0], [1, 1, 1]])) == 3
    assert math.isnan(pool_l1(np.ones((1, 3))))
    assert np.isnan(pool_l1(np.ones((2, 0, 3)))).all()
    assert pool_l1(np.full((2, 7, 3), 0.1 + 1e9)).tolist() == [0, 0]  # not a rounding error below zero


def test_weightings_are_uniform_on_the_simplex_and_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    weights = simplex_weightings(20_000, 3, seed=4)
    assert np.array_equal(np.random.get_state()[1], before)
    assert weights.min() >= 0
    assert weights.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.01)
    assert weights.var(axis=0) == pytest.approx([1 / 18] * 3, abs=0.003)  # (1/3)(2/3) / (3 + 1)
    assert not np.array_equal(weights, simplex_weightings(20_000, 3, seed=5))


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_label_shares_sum_to_one_and_bound_the_effective_numbers(labels):
    shares = label_shares(labels)
    assert sum(shares.values()) == pytest.approx(1)
    first, second = effective_number(shares, 1), effective_number(shares, 2)
    assert 1 - 1e-9 <= second <= first + 1e-9 <= len(shares) + 2e-9
    assert distinct_answers(labels) == len(shares)


def test_effective_numbers_by_hand():
    assert effective_number({"a": 0.5, "b": 0.5}) == pytest.approx(2)
    assert effective_number({"a": 1.0, "b": 0.0}, 2) == 1
    assert effective_number({"a": 0.75, "b": 0.25}, 2) == pytest.approx(1.6)  # 1 / (9/16 + 1/16)
    assert label_shares([]) == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_at_k([1.0, 2.0], 3), "k is 3: expected 1 to 2"),
        (lambda: best_at_k([1.0, math.nan], 1), "NaN or infinity"),
        (lambda: best_at_k_sets([1.0], 1), r"expected \(..., C, M\)"),
        (lambda: best_at_k([], 1), "none of them empty"),
        (lambda: best_at_k_curve(np.ones((2, 2)), [1, 5]), "k is 5: expected 1 to 4"),
        (lambda: best_at_k([1.0, 2.0], 1.5), "k is 1.5"),
        (lambda: pass_at_k([4, 4], [1, 0.5], 1), "no whole numbers"),
        (lambda: pass_at_k([4, 2], [1, 1], 3), "k is 3: expected 1 to 2"),
        (lambda: expected_best_at_k(np.ones((2, 2, 3)), np.ones(3), 1), r"expected \(K, D\)"),
        (lambda: simplex_weightings(0, 3), "num is 0"),
        (lambda: pool_l1([1.0, 2.0]), r"expected \(..., N, D\)"),
        (lambda: pool_l1([[1.0], [math.inf]]), "all finite"),
        (lambda: effective_number({"a": 1.5, "b": -0.5}), "numbers >= 0"),
        (lambda: pass_at_k(3, 4, 1), "num_correct is 4"),
        (lambda: pass_at_k(3, 1, 0), "k is 0"),
        (lambda: expected_best_at_k(np.ones((2, 2, 3)), np.ones((4, 2)), 1), "do not fit"),
        (lambda: effective_number({"a": 0.5}), "sum to 0.5"),
        (lambda: effective_number({"a": 1.0}, 3), "order is 3"),
    ],
)
def test_impossible_questions_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
