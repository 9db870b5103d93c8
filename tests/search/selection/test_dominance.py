import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.selection import lexicase, non_dominated, num_wins, shared_wins, specialist_weights
from tests.search.selection.exact_lexicase import probabilities

MATRIX = st.integers(1, 3).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 3).map(float)] * d), min_size=1, max_size=7)
)


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


@given(MATRIX)
def test_front_is_whoever_nobody_dominates(vectors):
    assert non_dominated(vectors).tolist() == [not any(dominates(o, v) for o in vectors) for v in vectors]


@given(MATRIX)
def test_specialists_weigh_what_they_are_best_at(vectors):
    best = [max(column) for column in zip(*vectors, strict=True)]
    wins = [sum(r == b for r, b in zip(v, best, strict=True)) for v in vectors]
    assert num_wins(vectors).tolist() == wins
    kept = [0 if any(dominates(o, v) for o in vectors) else w for v, w in zip(vectors, wins, strict=True)]
    assert specialist_weights(vectors) == pytest.approx(np.array(kept) / sum(kept))


def test_specialist_weights_of_a_case_worked_by_hand():
    # Component 0: rows 0 and 1; 1: row 2; 2: rows 1 and 2. Row 1 dominates row 0, and row 3 wins nothing.
    vectors = [(2, 0, 0), (2, 0, 1), (0, 2, 1), (1, 1, 0)]
    assert num_wins(vectors).tolist() == [1, 2, 2, 0]
    assert specialist_weights(vectors).tolist() == [0, 0.5, 0.5, 0]


@given(MATRIX)
def test_points_of_all_components_are_shared_out(vectors):
    points = shared_wins(vectors)
    assert points.sum() == pytest.approx(len(vectors[0]))
    assert ((points > 0) == (num_wins(vectors) > 0)).all()


@given(MATRIX)
def test_lexicase_chooses_from_those_that_are_best_at_something_and_on_the_front(vectors):
    chosen = [p > 0 for p in probabilities(vectors)]
    assert all(w > 0 for w, c in zip(specialist_weights(vectors), chosen, strict=True) if c)
    assert lexicase(vectors, random.Random(0)) in np.flatnonzero(chosen)
