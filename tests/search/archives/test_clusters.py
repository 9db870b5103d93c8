import random
from collections import Counter

import numpy as np
from scipy.stats import chisquare

from search.archives import Clusters
from tests.search.procedures.told_results import result


def clusters(*answers, size=16):
    found = Clusters(size)
    for candidate in result(*answers).candidates:
        found.add(candidate)
    return found


def test_clusters_are_drawn_by_the_softmax_of_their_scalar():
    # Scalars 0, .1 and .2 at temperature .1: weights 1, e and e^2, however many answers a cluster has
    found = clusters(("a", (0.0, 0.0)), ("b", (0.1, 0.0)), ("c", (0.1, 0.0)), ("d", (0.0, 0.2)))
    rng = random.Random(0)
    counts = Counter(found.pick(1, 0.1, rng)[0].vector for _ in range(3000))
    weights = np.exp([0, 1, 2])
    observed = [counts[vector] for vector in [(0.0, 0.0), (0.1, 0.0), (0.0, 0.2)]]
    assert chisquare(observed, 3000 * weights / weights.sum()).pvalue > 1e-3


def test_answers_of_a_cluster_are_drawn_by_their_length():
    # Lengths 2, 3 and 4: (length - shortest) / longest = 0, 1/4, 1/2
    found = clusters(("bb", (1.0,)), ("ccc", (1.0,)), ("dddd", (1.0,)))
    rng = random.Random(1)
    counts = Counter(found.pick(1, 0.1, rng)[0].answer for _ in range(3000))
    weights = np.exp([0, -1 / 4, -1 / 2])
    assert chisquare([counts["bb"], counts["ccc"], counts["dddd"]], 3000 * weights / weights.sum()).pvalue > 1e-3


def test_picks_come_from_different_clusters_best_last_even_if_the_others_have_no_weight():
    found = clusters(("a", (0.0,)), ("b", (5.0,)), ("c", (9.0,)))
    for seed in range(10):
        picked = found.pick(3, 0.0, random.Random(seed))
        assert [candidate.answer for candidate in picked] == ["a", "b", "c"]
        assert [candidate.answer for candidate in found.pick(1, 0.0, random.Random(seed))] == ["c"]
    assert len(found.pick(7, 0.1, random.Random(0))) == 3


def test_cluster_keeps_its_shortest_answers_and_counts_all():
    found = clusters(("dddd", (1.0,)), ("a", (1.0,)), ("ccc", (1.0,)), ("bb", (1.0,)), ("bb", (1.0,)), size=2)
    answers = {found.pick(1, 0.1, random.Random(seed))[0].answer for seed in range(40)}
    assert answers == {"a", "bb"}
    assert (found.num_added, len(found)) == (5, 1)


def test_best_is_the_first_of_highest_scalar():
    found = clusters(("a", (1.0, 0.0)), ("b", (0.0, 2.0)), ("c", (2.0, 0.0)))
    assert found.best is not None and found.best.answer == "b"
