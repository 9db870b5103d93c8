import random
from fractions import Fraction

import lexicase as package
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from search.selection import EPSILONS, Cases, lexicase
from tests.search.selection.exact_lexicase import mad, probabilities, walked

MATRICES = {
    "specialists and a generalist": [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.9, 0.9, 0.9)],
    "ties that the second component breaks": [(1, 1, 0), (1, 0, 1), (0, 1, 1)],
    "equal rows": [(1, 0), (1, 0), (0, 1)],
    "pass/fail tests": [(1, 1, 0, 0, 1), (1, 0, 1, 0, 1), (0, 1, 1, 1, 0), (1, 1, 0, 0, 1), (0, 0, 0, 1, 1)],
    "negative rewards": [(-1, -3), (-2, -2), (-3, -1)],
    "continuous": [(0.11, 0.72, 0.53), (0.61, 0.14, 0.95), (0.47, 0.68, 0.29), (0.83, 0.35, 0.41), (0.57, 0.7, 0.5)],
}
SMALL = st.integers(1, 3).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(-3, 3).map(lambda n: n / 2)] * d), min_size=1, max_size=6)
)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("name", MATRICES)
def test_probabilities_over_all_orders_and_ties_are_those_of_the_definition(name, epsilon):
    vectors = MATRICES[name]
    assert walked(lambda rng: lexicase(vectors, rng, epsilon=epsilon), vectors) == probabilities(vectors, epsilon)


@given(SMALL, st.sampled_from(EPSILONS))
def test_probabilities_are_those_of_the_definition_on_any_small_matrix(vectors, epsilon):
    assert walked(lambda rng: lexicase(vectors, rng, epsilon=epsilon), vectors) == probabilities(vectors, epsilon)


def test_exact_probabilities_agree_with_a_case_worked_by_hand():
    # First component (1/2): rows 0 and 1 stay, the second component then prefers row 1. Second component first (1/2):
    # row 2 alone is best.
    assert probabilities([(1, 0), (1, 1), (0, 2)]) == [0, Fraction(1, 2), Fraction(1, 2)]


def test_kinds_of_epsilon_differ_as_worked_by_hand():
    # First component: median 4, deviations 6 5 0 2 4, MAD 4: rows 0 and 1 are within 4 of the best. Second: median 8,
    # deviations 8 5 0 1 2, MAD 2: rows 2, 3 and 4 are within 2 of the best.
    vectors = [(10, 0), (9, 3), (4, 8), (2, 9), (0, 10)]
    assert [mad(column) for column in zip(*vectors, strict=True)] == [4, 2]
    # First, then second: 0 and 1 both fail the second test (static); 0 lies 3 below 1, the margin is 2 (semi-dynamic)
    # or, in this pool, 1.5 (dynamic). Second, then first: 2, 3 and 4 all fail the first test (static); all lie within
    # 4 of row 2 (semi-dynamic); in this pool the MAD is 2, and row 4 lies 4 below (dynamic).
    half, third, quarter = Fraction(1, 2), Fraction(1, 3), Fraction(1, 4)
    by_hand = {
        "none": [half, 0, 0, 0, half],
        "static": [quarter, quarter, third / 2, third / 2, third / 2],
        "semi-dynamic": [0, half, third / 2, third / 2, third / 2],
        "dynamic": [0, half, quarter, quarter, 0],
    }
    for epsilon, expected in by_hand.items():
        assert walked(lambda rng, kind=epsilon: lexicase(vectors, rng, epsilon=kind), vectors) == expected
        assert probabilities(vectors, epsilon) == expected


@pytest.mark.parametrize(("share", "num"), [(1e-9, 1), (0.34, 1), (0.67, 2), (1.0, 3)])
def test_down_sampled_picks_average_over_all_subsets_of_components(share, num):
    vectors = MATRICES["continuous"]
    found = walked(lambda rng: lexicase(vectors, rng, down_sample=share), vectors, num)
    assert found == probabilities(vectors, num_components=num)


@pytest.mark.parametrize("name", MATRICES)
def test_choices_with_a_real_generator_have_the_exact_frequencies(name):
    vectors = MATRICES[name]
    rng = random.Random(1)
    counts = np.bincount([lexicase(vectors, rng) for _ in range(2000)], minlength=len(vectors))
    assert_frequencies(counts, probabilities(vectors))


@pytest.mark.parametrize("name", MATRICES)
def test_package_of_the_methods_author_has_the_same_probabilities(name):
    """lexicase 0.3.0 draws; its frequencies are held against the exact probabilities that ours equal."""
    vectors = np.array(MATRICES[name], dtype=float)
    plain = package.lexicase_selection(vectors, 2000, seed=3)
    assert_frequencies(np.bincount(plain, minlength=len(vectors)), probabilities(vectors.tolist()))
    semi = package.epsilon_lexicase_selection(vectors, 2000, seed=4)
    assert_frequencies(np.bincount(semi, minlength=len(vectors)), probabilities(vectors.tolist(), "semi-dynamic"))
    sampled = package.downsample_lexicase_selection(vectors, 2000, downsample_size=2, seed=5)
    assert_frequencies(np.bincount(sampled, minlength=len(vectors)), probabilities(vectors.tolist(), num_components=2))


def assert_frequencies(counts, chances):
    expected = np.array([float(p) for p in chances])
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    if possible.sum() > 1:
        assert chisquare(counts[possible], counts.sum() * expected[possible]).pvalue > 1e-3


@given(SMALL, st.integers(0, 2**32))
def test_chosen_candidate_is_never_dominated(vectors, seed):
    chosen = vectors[lexicase(vectors, random.Random(seed))]
    assert not any(all(a >= b for a, b in zip(other, chosen, strict=True)) and other != chosen for other in vectors)


@given(SMALL, st.sampled_from(EPSILONS), st.randoms(use_true_random=False))
def test_order_of_candidates_and_of_components_does_not_matter(vectors, epsilon, shuffler):
    rows, columns = list(range(len(vectors))), list(range(len(vectors[0])))
    shuffler.shuffle(rows)
    shuffler.shuffle(columns)
    permuted = [tuple(vectors[row][column] for column in columns) for row in rows]
    before = walked(lambda rng: lexicase(vectors, rng, epsilon=epsilon), vectors)
    after = walked(lambda rng: lexicase(permuted, rng, epsilon=epsilon), permuted)
    assert after == [before[row] for row in rows]


@given(SMALL, st.sampled_from(EPSILONS), st.data())
def test_scale_and_origin_of_a_component_do_not_matter(vectors, epsilon, data):
    """Powers of two and halves, so that rescaled rewards are exact."""
    num = len(vectors[0])
    scales = data.draw(st.tuples(*[st.sampled_from([0.25, 1.0, 8.0])] * num))
    shifts = data.draw(st.tuples(*[st.integers(-4, 4)] * num))
    other = [tuple(s * r + t for s, r, t in zip(scales, v, shifts, strict=True)) for v in vectors]
    assert walked(lambda rng: lexicase(other, rng, epsilon=epsilon), other) == probabilities(vectors, epsilon)


@given(SMALL)
def test_plain_lexicase_sees_ranks_alone(vectors):
    bent = [tuple(reward**3 + reward for reward in vector) for vector in vectors]
    assert walked(lambda rng: lexicase(bent, rng), bent) == probabilities(vectors)


@given(SMALL, st.integers(0, 2**32))
def test_prepared_cases_pick_what_the_function_picks(vectors, seed):
    columns = np.ascontiguousarray(np.array(vectors, dtype=float).T)
    for epsilon in EPSILONS:
        prepared = Cases.of(columns, epsilon)
        assert prepared.pick(random.Random(seed)) == lexicase(vectors, random.Random(seed), epsilon=epsilon)


def test_one_component_means_one_of_the_best():
    rng = random.Random(0)
    assert {lexicase([(1,), (3,), (3,), (2,)], rng) for _ in range(50)} == {1, 2}


@pytest.mark.parametrize("vectors", [[], [()], [1.0, 2.0]])
def test_anything_but_a_matrix_is_refused(vectors):
    with pytest.raises(ValueError, match=r"expected \(N, D\) with N, D >= 1"):
        lexicase(vectors, random.Random(0))


def test_unknown_epsilon_and_empty_sample_are_refused():
    with pytest.raises(ValueError, match=r"epsilon is 'mad', expected one of none, static, semi-dynamic, dynamic"):
        lexicase([(1, 2)], random.Random(0), epsilon="mad")
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"expected a share in \(0, 1\]"):
            lexicase([(1, 2)], random.Random(0), down_sample=share)
