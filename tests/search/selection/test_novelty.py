import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.selection import dominated_novelty

POINTS = st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=8)


def by_definition(fitness, places, k):
    scores = []
    for i, place in enumerate(places):
        fitter = sorted(math.dist(place, places[j]) for j in range(len(places)) if fitness[j] > fitness[i])
        scores.append(sum(fitter[:k]) / len(fitter[:k]) if fitter else math.inf)
    return scores


@given(POINTS, st.integers(1, 9))
def test_scores_are_those_of_the_definition(points, k):
    fitness, places = [p[0] for p in points], [p[1:] for p in points]
    assert dominated_novelty(fitness, places, k).tolist() == pytest.approx(by_definition(fitness, places, k))


def test_scores_of_a_case_worked_by_hand():
    # On a line at 0 1 3 7 with fitness 4 3 2 1: nobody is fitter than the first; 1 -> 0; 3 -> 1 and 0; 7 -> 3 and 1.
    found = dominated_novelty([4, 3, 2, 1], [[0], [1], [3], [7]], num_neighbors=2)
    assert found.tolist() == [math.inf, 1, (2 + 3) / 2, (4 + 6) / 2]


@given(POINTS, st.randoms(use_true_random=False))
def test_order_of_candidates_and_monotone_changes_of_fitness_do_not_matter(points, shuffler):
    order = list(range(len(points)))
    shuffler.shuffle(order)
    fitness, places = np.array([p[0] for p in points]), np.array([p[1:] for p in points])
    scores = dominated_novelty(fitness, places)
    assert dominated_novelty(np.exp(fitness[order]), places[order]).tolist() == pytest.approx(scores[order].tolist())


def test_shapes_that_do_not_fit_and_no_neighbour_are_refused():
    with pytest.raises(ValueError, match=r"fitness \(2,\) and descriptors \(3, 1\) do not fit"):
        dominated_novelty([1, 2], [[0], [1], [2]])
    with pytest.raises(ValueError, match="num_neighbors is 0, expected at least 1"):
        dominated_novelty([1], [[0]], 0)
