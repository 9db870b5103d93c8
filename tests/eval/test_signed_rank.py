import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from eval.signed_rank import signed_rank_p


def by_all_signs(difference):
    """Plain oracle: how many assignments of signs give a rank sum at least as far from its mean?"""
    kept = np.array([d for d in difference if d != 0])
    if len(kept) == 0:
        return 1.0
    ranks = rankdata(np.abs(kept))
    middle = ranks.sum() / 2
    sums = [ranks[list(signs)].sum() for signs in itertools.product([True, False], repeat=len(kept))]
    far = abs(ranks[kept > 0].sum() - middle)
    return float(np.mean([abs(each - middle) >= far - 1e-9 for each in sums]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8))
def test_the_p_value_is_that_of_all_assignments_of_signs(difference):
    assert signed_rank_p(difference, np.zeros(len(difference))) == pytest.approx(by_all_signs(difference))


def test_a_shift_on_many_problems_is_seen_and_swapping_changes_nothing():
    rng = np.random.default_rng(0)
    a = rng.random(40)
    b = a - 0.1 + 0.05 * rng.normal(size=40)
    assert signed_rank_p(a, b) < 1e-6
    assert signed_rank_p(a, b) == pytest.approx(signed_rank_p(b, a))


def test_under_the_null_small_values_are_as_rare_as_they_say():
    rng = np.random.default_rng(1)
    found = [signed_rank_p(*rng.random((2, 25)).round(1)) for _ in range(300)]
    assert 0.01 <= np.mean(np.array(found) < 0.05) <= 0.09


def test_a_difference_in_the_last_place_is_none():
    assert signed_rank_p([0.1 + 0.2] * 5, [0.3] * 5) == 1.0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0, 2.0], r"a has shape \(1,\) and b \(2,\)"),
        ([], [], "one problem at least"),
        ([np.nan, 1.0], [0.0, 1.0], "NaN or infinity"),
    ],
)
def test_what_cannot_be_paired_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        signed_rank_p(a, b)
