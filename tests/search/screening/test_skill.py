import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from search.screening.skill import BETAS, order_evidence, pair_skill

VALUES = st.floats(-5, 5, allow_nan=False, width=32)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=4), st.floats(0.1, 10))
def test_evidence_of_an_order_is_one_on_average_over_all_orders(pairs, deviation):
    merits, leads = np.array(pairs).T
    every = [order_evidence(merits, np.array(order), deviation) for order in itertools.permutations(leads)]
    mean = logsumexp(np.array(every), axis=0) - np.log(len(every))
    np.testing.assert_allclose(mean, np.zeros(len(BETAS)), atol=1e-9)


def test_evidence_is_largest_for_the_order_that_was_foreseen_and_grows_with_the_differences():
    merits = np.array([0.0, 1.0, 2.0, 3.0])
    right = order_evidence(merits, merits, 1.0)
    assert (right > order_evidence(merits, merits[[1, 0, 2, 3]], 1.0)).all()
    assert (order_evidence(merits, -merits, 1.0) < 0).all()
    assert (right > order_evidence(merits / 10, merits, 1.0)).all()


@settings(deadline=None)
@given(st.lists(VALUES, max_size=6), st.lists(VALUES, max_size=6))
def test_skill_is_the_share_of_pairs_in_which_the_one_above_is_better(above, below):
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in above for b in below]
    found = pair_skill(np.array(above), np.array(below))
    assert found == pytest.approx(np.mean(wins)) if wins else np.isnan(found)
