from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.problems import get_problems
from search.problems.cap_set import LARGEST_KNOWN, cap_set_size

# FunSearch's ranking for n = 8 (Romera-Paredes et al. 2023, Nature 625, figure 4a), in words of ours
FUNSEARCH_8 = """
def priority(el, n):
    def mirrored(places, factor):
        return factor ** sum(el[i] == el[-i] for i in places)

    num_zeros = el.count(0)
    score = float(n)
    if num_zeros == 0:
        score = (score + n**2) * mirrored((1, 2, 3), 1.5)
    else:
        score *= mirrored((1, 2), 0.5)
    seen = 0
    for e in el:
        if e != 0:
            score += 1
            continue
        if seen > 0 and seen == num_zeros - 1:
            score *= 0.5
        else:
            score *= n * 0.5 ** max(seen, 1)
        seen += 1
    return score * mirrored((1, 2), 1.5)
"""


def numbers(vectors):
    return [int("".join(map(str, vector)), 3) for vector in vectors]


def is_cap_set(vectors) -> bool:
    """The definition."""
    return not any(
        all((a + b + c) % 3 == 0 for a, b, c in zip(*three, strict=True))
        for three in itertools.combinations(vectors, 3)
    )


def test_the_published_ranking_gives_512_vectors():
    (problem,) = get_problems("cap_set", dimensions=(8,))
    (evaluation,) = problem.evaluate([FUNSEARCH_8])
    assert evaluation.vector == (1.0,) and LARGEST_KNOWN[8] == 512


def test_without_a_ranking_the_greedy_set_is_all_zeros_and_ones():
    (problem,) = get_problems("cap_set")
    (evaluation,) = problem.evaluate([problem.seed_program])
    assert evaluation.vector == tuple(2**n / LARGEST_KNOWN[n] for n in range(3, 9))
    assert problem.scalar(evaluation.vector) == problem.references["no ranking, 2^n"] == 0.5


@settings(deadline=None)
@given(st.sets(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=10))
def test_sets_are_judged_as_the_definition_judges_them(vectors):
    if is_cap_set(vectors):
        assert cap_set_size(numbers(vectors), 3) == len(vectors)
    else:
        with pytest.raises(ValueError, match="sum to 0"):
            cap_set_size(numbers(vectors), 3)


@pytest.mark.parametrize("value", [[0, 0], [-1], [27], [[0]], [], [0.5], "0", None, [10**30]])
def test_what_is_no_set_of_vectors_is_refused(value):
    with pytest.raises(ValueError, match="expected"):
        cap_set_size(value, 3)


def test_a_program_that_replaces_the_greedy_loop_is_judged_by_its_set_alone():
    (problem,) = get_problems("cap_set", dimensions=(3,))
    said = json.dumps({"value": list(range(27))})
    lying = f"import os\nos.write(3, {said!r}.encode())\nos._exit(0)"
    (evaluation,) = problem.evaluate([lying])
    assert (evaluation.status, evaluation.vector) == ("invalid", (0.0,))
    assert "sum to 0 modulo 3" in evaluation.artifact


@pytest.mark.parametrize("score", ["float('nan')", "float('inf')", "'high'", "None"])
def test_a_ranking_that_is_no_number_is_an_error(score):
    (problem,) = get_problems("cap_set", dimensions=(3,))
    (evaluation,) = problem.evaluate([f"def priority(el, n):\n    return {score}"])
    assert (evaluation.status, evaluation.vector) == ("error", (0.0,))
