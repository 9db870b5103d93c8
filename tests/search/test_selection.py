import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from search.selection import lexicase


def lexicase_probabilities(vectors: list[tuple[float, ...]]) -> list[Fraction]:
    """Exact selection probabilities, by recursion over which component comes next."""

    def share(alive: tuple[int, ...], left: frozenset[int]) -> dict[int, Fraction]:
        if len(alive) == 1 or not left:
            return {index: Fraction(1, len(alive)) for index in alive}
        total: dict[int, Fraction] = {}
        for component in left:
            best = max(vectors[index][component] for index in alive)
            kept = tuple(index for index in alive if vectors[index][component] == best)
            for index, p in share(kept, left - {component}).items():
                total[index] = total.get(index, Fraction(0)) + p / len(left)
        return total

    chosen = share(tuple(range(len(vectors))), frozenset(range(len(vectors[0]))))
    return [chosen.get(index, Fraction(0)) for index in range(len(vectors))]


MATRICES = {
    "specialists and a generalist": [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.9, 0.9, 0.9)],
    "ties that the second component breaks": [(1, 1, 0), (1, 0, 1), (0, 1, 1)],
    "equal rows": [(1, 0), (1, 0), (0, 1)],
    "pass/fail tests": [(1, 1, 0, 0, 1), (1, 0, 1, 0, 1), (0, 1, 1, 1, 0), (1, 1, 0, 0, 1), (0, 0, 0, 1, 1)],
    "negative rewards": [(-1, -3), (-2, -2), (-3, -1)],
}


@pytest.mark.parametrize("name", MATRICES)
def test_choices_follow_the_exact_lexicase_probabilities(name):
    vectors = MATRICES[name]
    expected = np.array([float(p) for p in lexicase_probabilities(vectors)])
    rng = random.Random(1)
    num = 6000
    counts = np.bincount([lexicase(vectors, rng) for _ in range(num)], minlength=len(vectors))
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    if possible.sum() > 1:
        assert chisquare(counts[possible], num * expected[possible]).pvalue > 1e-3


def test_exact_probabilities_agree_with_a_case_worked_by_hand():
    # First component (1/2): rows 0 and 1 stay, the second component then prefers row 1. Second component first (1/2):
    # row 2 alone is best.
    assert lexicase_probabilities([(1, 0), (1, 1), (0, 2)]) == [0, Fraction(1, 2), Fraction(1, 2)]


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
def test_chosen_candidate_is_never_dominated(vectors, seed):
    chosen = vectors[lexicase(vectors, random.Random(seed))]
    assert not any(all(a >= b for a, b in zip(other, chosen, strict=True)) and other != chosen for other in vectors)


def test_one_component_means_one_of_the_best():
    rng = random.Random(0)
    assert {lexicase([(1,), (3,), (3,), (2,)], rng) for _ in range(50)} == {1, 2}


@pytest.mark.parametrize("vectors", [[], [()], [1.0, 2.0]])
def test_anything_but_a_matrix_is_refused(vectors):
    with pytest.raises(ValueError, match=r"expected \(N, D\) with N, D >= 1"):
        lexicase(vectors, random.Random(0))
