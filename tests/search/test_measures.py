"""Numbers of one search against a walk through it in plain loops; i.i.d. draws against every order of theirs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.metrics import best_at_k_sets, expected_best_at_k
from search.budget import Budget
from search.curves import best_so_far, expected_best_so_far
from search.driver import run_search
from search.measures import area_under_best, cost_to_reach, duplicate_rate, num_signatures
from search.orderings import mean_over_orders
from search.procedures import BestOfN, Evolution
from search.records import Sampling, SearchResult
from tests.search.test_curves import WEIGHTS, generations, in_hand, search_result
from tests.search.toy_problem import toy_problems, toy_sampler

AXES = st.sampled_from(["answers", "completion_tokens"])


@given(generations, AXES, st.integers(1, 50))
def test_the_area_is_the_sum_of_the_curve_over_whole_costs(told, axis, limit):
    result = search_result(told)
    heights = best_so_far([result], range(limit), axis, floor=-0.5)[0]  # costs are whole: constant in between
    assert area_under_best(result, limit, axis, floor=-0.5) == pytest.approx(heights.mean(), abs=1e-12)


@given(generations, AXES, st.floats(0, 1))
def test_a_target_is_reached_when_enough_was_paid_and_not_before(told, axis, target):
    cost = cost_to_reach(search_result(told), target, axis)
    best = [max(((a + b) / 2 for a, b in in_hand(told, c, axis)), default=-1.0) for c in range(100)]
    reached = [c for c in range(100) if best[c] >= target - 1e-9]
    assert cost == (reached[0] if reached else math.inf)


def test_a_target_is_not_missed_by_rounding():
    told = [([(0.1, 0.2)], 5)]  # scalar (0.1 + 0.2) / 2 = 0.15000000000000002
    assert cost_to_reach(search_result(told), 0.15) == 5
    assert cost_to_reach(search_result(told), 0.15000000000000002) == 5
    assert cost_to_reach(search_result([([(0.3, 0.0)], 5)]), 0.15000000000000002) == 5


def test_signatures_are_distinct_vectors_and_repeats_a_share():
    problems = toy_problems(1, num_answers=1, num_slots=1, num_symbols=2)
    (found,) = run(problems, BestOfN, tokens=60, failure=0.0)
    assert num_signatures(found) == 2
    assert duplicate_rate(found) == (len(found.candidates) - 2) / len(found.candidates)
    assert math.isnan(duplicate_rate(search_result([([], 3)])))
    assert num_signatures(search_result([([], 3)])) == 0


def test_an_area_needs_a_budget():
    with pytest.raises(ValueError, match=r"limit is 0, expected a finite cost above 0"):
        area_under_best(search_result([]), 0)


# --- the orders of independent draws ---


def permuted(told):
    return [search_result([told[i] for i in order]) for order in itertools.permutations(range(len(told)))]


@settings(max_examples=25, deadline=None)
@given(generations.filter(lambda told: 1 <= len(told) <= 4), AXES)
def test_the_mean_over_orders_is_that_of_all_permutations(told, axis):
    grid, limit = [0, 2, 5, 9, 14, 40], 30
    found = mean_over_orders(search_result(told), grid, limit, axis, num=4000)
    exact = best_so_far(permuted(told), grid, axis).mean(axis=0)
    np.testing.assert_allclose(found.values, exact, atol=0.04)  # 4000 orders: five standard errors of a value in [0, 1]
    areas = [area_under_best(each, limit, axis) for each in permuted(told)]
    assert found.area == pytest.approx(np.mean(areas), abs=0.04)
    found = mean_over_orders(search_result(told), grid, limit, axis, num=4000, weights=WEIGHTS)
    exact = expected_best_so_far(permuted(told), grid, WEIGHTS, axis).mean(axis=0)
    np.testing.assert_allclose(found.values, exact, atol=0.04)


def test_with_whole_completions_it_is_the_unbiased_best_of_k():
    rewards = np.random.default_rng(0).random((8, 3, 2))  # (C, M, D)
    told = [([tuple(vector) for vector in completion], 7) for completion in rewards]
    grid = np.arange(1, 25)
    found = mean_over_orders(search_result(told), grid, 24, "answers", num=5000)
    exact = [best_at_k_sets(rewards.mean(axis=2), int(k)) for k in grid]
    np.testing.assert_allclose(found.values, exact, atol=0.01)
    found = mean_over_orders(search_result(told), 7 * np.arange(1, 9), 56, num=5000, weights=WEIGHTS)
    exact = [expected_best_at_k(rewards, WEIGHTS, 3 * c) for c in range(1, 9)]
    np.testing.assert_allclose(found.values, exact, atol=0.01)


@given(generations, AXES)
def test_all_draws_together_are_worth_the_same_in_any_order(told, axis):
    result = search_result(told)
    end = mean_over_orders(result, [1000], 10, axis, num=3).values
    np.testing.assert_allclose(end, best_so_far([result], [1000], axis)[0], atol=1e-12)


def test_the_mean_over_orders_and_single_orders_have_one_expectation_and_the_mean_less_noise():
    problems = toy_problems(150, num_answers=3)
    results = run(problems, BestOfN, tokens=360, failure=0.0)  # 19 tokens a completion: as many draws of each
    grid = np.array([19, 38, 76, 152, 360])
    single = best_so_far(results, grid)
    averaged = np.stack([mean_over_orders(result, grid, 360).values for result in results])
    error = (single - averaged).std(axis=0, ddof=1) / np.sqrt(len(results))
    assert (np.abs((single - averaged).mean(axis=0)) <= 4 * error + 1e-12).all()
    assert (averaged.std(axis=0)[:-1] < 0.8 * single.std(axis=0)[:-1]).all()
    assert averaged[:, -1] == pytest.approx(single[:, -1])


def test_lengths_that_differ_bias_the_mean_over_orders_by_little():
    """The budget cuts by length; here short completions are the worthless ones, which is the worst case."""
    problems = toy_problems(300, num_answers=1)
    results = run(problems, BestOfN, tokens=60, failure=0.4)
    grid = np.array([10, 20, 30, 40, 50, 60])
    single = best_so_far(results, grid)
    averaged = np.stack([mean_over_orders(result, grid, 60).values for result in results])
    error = (single - averaged).std(axis=0, ddof=1) / np.sqrt(len(results))
    assert (np.abs((single - averaged).mean(axis=0)) <= 4 * error + 0.01).all()


def test_what_is_no_set_of_independent_draws_has_no_other_order():
    (found,) = run(toy_problems(1), lambda: None, tokens=300, failure=0.0, evolve=True)
    with pytest.raises(ValueError, match="expected independent draws"):
        mean_over_orders(found, [10], 300)
    with pytest.raises(ValueError, match="num is 0"):
        mean_over_orders(found, [10], 300, num=0)
    empty = SearchResult.from_results("p", [])
    assert mean_over_orders(empty, [1, 2], 5, floor=-1.0).values.tolist() == [-1.0, -1.0]


def run(problems, make, *, tokens, failure, evolve=False):
    return run_search(
        problems,
        (lambda problem: Evolution(problem.vary)) if evolve else lambda problem: make(),
        toy_sampler(problems[0], num_symbols=2 if problems[0].num_answers == 1 else 4, failure=failure),
        Budget(max_completion_tokens=tokens),
        batch=2,
        sampling=Sampling(max_new_tokens=20),
    )
