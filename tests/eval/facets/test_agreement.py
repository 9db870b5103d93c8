"""Adjusted indices: values by hand, slow definitions, and what relabelling and chance must do."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.facets import adjusted_information, agreement

labellings = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7)


def slow_agreement(a, b):
    """Pairs counted one by one."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    in_a = [a[i] == a[j] for i, j in pairs]
    in_b = [b[i] == b[j] for i, j in pairs]
    together = sum(x and y for x, y in zip(in_a, in_b, strict=True))
    expected = sum(in_a) * sum(in_b) / len(pairs) if pairs else 0
    most = (sum(in_a) + sum(in_b)) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def information(a, b):
    count = len(a)
    both, of_a, of_b = Counter(zip(a, b, strict=True)), Counter(a), Counter(b)
    return sum(n / count * math.log(n * count / (of_a[x] * of_b[y])) for (x, y), n in both.items())


def slow_information(a, b):
    """The expectation over all permutations, which is what chance means here."""
    expected = float(np.mean([information(a, order) for order in itertools.permutations(b)]))
    mean_entropy = (information(a, a) + information(b, b)) / 2
    return (information(a, b) - expected) / (mean_entropy - expected)


@given(labellings)
def test_agreement_is_the_share_of_pairs_beyond_chance(pairs):
    a, b = zip(*pairs, strict=True)
    assert agreement(a, b) == pytest.approx(slow_agreement(a, b))


@given(labellings)
@settings(max_examples=40)
def test_adjusted_information_is_information_beyond_the_mean_over_all_permutations(pairs):
    a, b = zip(*pairs, strict=True)
    trivial = {1, len(a)}
    if len(set(a)) in trivial or len(set(b)) in trivial:  # nothing is known, or everything: see the test below
        return
    assert adjusted_information(a, b) == pytest.approx(slow_information(a, b))


@given(labellings, st.permutations(range(4)))
def test_names_and_order_play_no_part(pairs, names):
    a, b = zip(*pairs, strict=True)
    for index in (agreement, adjusted_information):
        assert index(a, b) == pytest.approx(index([names[x] for x in a], b))
        assert index(a, b) == pytest.approx(index(b, a))
        assert index(a, b) == pytest.approx(index(a[::-1], b[::-1]))
        assert index(a, b) <= 1 + 1e-12
        assert index(a, a) == pytest.approx(1)


def test_a_value_by_hand():
    # pairs together: in both 2 (the two 0s, the two 2s), in a 1 + 1 + 1 = 3, in b 1 + 1 = 2; of 15 pairs
    a, b = [0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 3, 3]
    assert agreement(a, b) == pytest.approx((2 - 3 * 2 / 15) / ((3 + 2) / 2 - 3 * 2 / 15))
    assert agreement([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx((0 - 2 * 2 / 6) / (2 - 2 * 2 / 6))  # -0.5


def test_independent_labels_are_near_zero_and_plain_information_would_not_be():
    rng = np.random.default_rng(0)
    values = [(rng.integers(0, 7, 480).tolist(), (np.arange(480) // 8).tolist()) for _ in range(20)]
    assert abs(np.mean([agreement(a, b) for a, b in values])) < 0.01
    assert abs(np.mean([adjusted_information(a, b) for a, b in values])) < 0.01
    assert np.mean([information(a, b) for a, b in values]) > 0.3


def test_degenerate_labels_have_a_decided_value():
    assert agreement(["a"] * 4, ["b"] * 4) == adjusted_information(["a"] * 4, ["b"] * 4) == 1
    assert agreement(range(4), "wxyz") == adjusted_information(range(4), "wxyz") == 1
    assert agreement(["a"] * 4, "wxyz") == adjusted_information(["a"] * 4, "wwxx") == 0
    assert agreement("a", "b") == adjusted_information("a", "b") == 1
    assert math.isnan(agreement([], []))
    assert math.isnan(adjusted_information([], []))


@pytest.mark.parametrize("index", [agreement, adjusted_information])
def test_labels_of_different_samples_cannot_be_compared(index):
    with pytest.raises(ValueError, match=r"there are 2 and 3 labels.*Label the same samples"):
        index("ab", "abc")
