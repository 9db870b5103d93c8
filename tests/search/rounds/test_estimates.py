import math
from itertools import permutations

import numpy as np
import pytest

from search.budget import Budget
from search.curves import best_so_far
from search.driver import run_search
from tests.search.rounds.searching import SAMPLING, best_of_n, evolve, search_toys
from tests.search.toy_problem import ToyProblem, toy_problems, toy_sampler


def test_best_of_n_equals_the_offline_estimate_of_best_at_k():
    """Mean best-so-far of many searches against the unbiased best@k of one large pool, from its order statistics."""
    problem = ToyProblem("toy-0", num_answers=1)
    sampler = toy_sampler(problem, failure=0.0)
    num_problems, most = 400, 8

    class Twin(ToyProblem):  # the same problem under another id: independent runs
        def __init__(self, number):
            super().__init__("toy-0", num_answers=1)
            self.id = f"twin-{number}"

    twins = [Twin(i) for i in range(num_problems)]
    results = run_search(twins, best_of_n, sampler, Budget(max_answers=most), batch=3, sampling=SAMPLING)
    curves = best_so_far(results, range(1, most + 1), "answers")
    pool = run_search(
        [Twin(10**6)], best_of_n, sampler, Budget(max_answers=4000), batch=500, seed=1, sampling=SAMPLING
    )[0]
    scalars = np.sort([candidate.scalar for candidate in pool.candidates])
    n = len(scalars)
    for k in range(1, most + 1):
        # E[max of k of the n without replacement] = sum_i x_(i) C(i-1, k-1) / C(n, k)
        weights = [math.comb(i, k - 1) / math.comb(n, k) for i in range(n)]
        estimate = float(np.dot(weights, scalars))
        error = curves[:, k - 1].std(ddof=1) * (1 / num_problems + k / n) ** 0.5
        assert abs(curves[:, k - 1].mean() - estimate) < 4 * error


def test_best_so_far_averaged_over_all_orders_is_the_unbiased_estimate_exactly():
    problem = ToyProblem("toy-0", num_answers=1)
    (result,) = search_toys(
        best_of_n, problems=[problem], sampler=toy_sampler(problem, failure=0.0), budget=Budget(max_answers=6)
    )
    scalars = [candidate.scalar for candidate in result.candidates]
    orders = [np.maximum.accumulate(order) for order in permutations(scalars)]
    n = len(scalars)
    for k in range(1, n + 1):
        unbiased = sum(x * math.comb(i, k - 1) for i, x in enumerate(sorted(scalars))) / math.comb(n, k)
        assert np.mean([order[k - 1] for order in orders]) == pytest.approx(unbiased, abs=1e-12)


def test_evolution_beats_best_of_n_where_parts_of_an_answer_can_be_kept():
    problems = toy_problems(20, num_answers=1, num_slots=8, num_symbols=6)
    sampler = toy_sampler(problems[0], num_symbols=6, failure=0.0)
    budget = Budget(max_answers=200)
    evolved = [r.best[-1] for r in search_toys(evolve, problems=problems, sampler=sampler, budget=budget)]
    drawn = [r.best[-1] for r in search_toys(best_of_n, problems=problems, sampler=sampler, budget=budget)]
    assert np.mean(evolved) > np.mean(drawn) + 0.1
