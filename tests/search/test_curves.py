import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.curves import best_so_far, expected_best_so_far
from search.records import Candidate, Generation, Proposal, Result, SearchResult

generations = st.lists(  # (reward vectors of its answers, generated tokens)
    st.tuples(
        st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=3),
        st.integers(1, 9),
    ),
    max_size=8,
)
WEIGHTS = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]


def search_result(told) -> SearchResult:
    results, next_id = [], 0
    for number, (vectors, tokens) in enumerate(told):
        candidates = tuple(
            Candidate(id=next_id + i, answer="", vector=v, scalar=(v[0] + v[1]) / 2, parents=(), generation_id=number)
            for i, v in enumerate(vectors)
        )
        next_id += len(candidates)
        generation = Generation(
            request_id=number, text="", prompt_tokens=1, completion_tokens=tokens, finish_reason="stop"
        )
        results.append(Result(number=number, seed=0, proposal=Proposal(), generation=generation, candidates=candidates))
    return SearchResult.from_results("p", results)


def in_hand(told, cost: int, axis: str) -> list[tuple[float, float]]:
    """Plain oracle: walk through the generations and collect what has been paid for."""
    spent, found = 0, []
    for vectors, tokens in told:
        if axis == "completion_tokens":
            spent += tokens
            found += vectors if spent <= cost else []
            continue
        for vector in vectors:
            spent += 1
            found += [vector] if spent <= cost else []
        spent += not vectors
    return found


@given(generations, st.sampled_from(["answers", "completion_tokens"]))
def test_curves_equal_a_walk_through_the_generations(told, axis):
    grid = range(0, 40, 3)
    curve = best_so_far([search_result(told)], list(grid), axis)
    expected = [max(((a + b) / 2 for a, b in in_hand(told, cost, axis)), default=0.0) for cost in grid]
    np.testing.assert_array_equal(curve, [expected])

    curve = expected_best_so_far([search_result(told)], list(grid), WEIGHTS, axis)
    expected = [
        np.mean([max((w[0] * a + w[1] * b for a, b in in_hand(told, cost, axis)), default=0.0) for w in WEIGHTS])
        for cost in grid
    ]
    np.testing.assert_allclose(curve, [expected], atol=1e-12)


def test_series_of_the_result_is_the_token_curve_at_the_ends_of_its_generations():
    result = search_result([([(0.2, 0.2)], 3), ([], 2), ([(0.1, 0.1), (0.9, 0.9)], 4)])
    assert best_so_far([result], result.completion_tokens).tolist() == [list(result.best)]


def test_one_row_per_problem_and_grid_in_any_order():
    results = [search_result([([(1.0, 1.0)], 5)]), search_result([])]
    assert best_so_far(results, [100, 4, 5], floor=-1.0).tolist() == [[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [1.0]), "results is empty"),
        (([search_result([])], [[1.0]]), "expected a vector of finite costs"),
        (([search_result([])], [math.nan]), "expected a vector of finite costs"),
        (([search_result([])], [1.0], "seconds"), "axis is 'seconds', expected 'answers' or"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        best_so_far(*arguments)


def test_weights_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"weights has shape \(1, 3\), expected \(K, 2\)"):
        expected_best_so_far([search_result([([(1.0, 0.0)], 1)])], [1], [[0.2, 0.3, 0.5]])
