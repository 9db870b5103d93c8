import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.evidence import BETS, Evidence, band, log_gains

shares = st.lists(st.floats(0, 1), min_size=1, max_size=20)
bounds = st.floats(0.05, 0.95)


@given(shares, bounds)
def test_gain_is_the_product_over_prompts(values, bound):
    expected = [math.prod(1 + bet / bound * (value - bound) for value in values) for bet in BETS]
    np.testing.assert_allclose(np.exp(log_gains(values, bound)), expected, rtol=1e-9)


@given(st.lists(shares, min_size=1, max_size=6), bounds)
def test_processes_are_those_of_their_definition_averaged_over_bets(looks, bound):
    evidence = Evidence(bound)
    product, restarted = np.ones(len(BETS)), np.zeros(len(BETS))
    placed, kept = np.zeros(len(BETS)), 1.0
    for number, values in enumerate(looks, 1):
        gains = np.exp(log_gains(values, bound))
        assert evidence.look(values) == pytest.approx(math.log(gains.mean()), abs=1e-9)
        stake = 1 / (number * (number + 1))
        placed, kept = (placed + stake) * gains, kept - stake
        assert evidence.log_spread == pytest.approx(math.log(placed.mean() + kept), abs=1e-7)
        product, restarted = product * gains, (restarted + 1) * gains
        assert evidence.log_product == pytest.approx(math.log(product.mean()), abs=1e-7)
        assert evidence.log_restarted == pytest.approx(math.log(restarted.mean()), abs=1e-7)
    assert evidence.looks == len(looks)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]), min_size=1, max_size=6), st.floats(0, 1))
def test_no_bet_gains_on_average_whatever_prompts_have_in_common(means, slack):
    """Exactly, by enumeration: prompts of different means whose average is at most the bound."""
    bound = float(np.mean(means)) + slack * (0.99 - float(np.mean(means)))
    expected = np.zeros(len(BETS))
    for outcome in range(2 ** len(means)):
        values = [float(outcome >> i & 1) for i in range(len(means))]
        chance = math.prod(mean if value else 1 - mean for value, mean in zip(values, means, strict=True))
        expected += chance * np.exp(log_gains(values, bound))
    assert (expected <= 1 + 1e-9).all()


@given(shares, st.floats(0.05, 0.9), st.floats(0.01, 0.05))
def test_evidence_falls_as_the_bound_rises(values, bound, more):
    assert (log_gains(values, bound + more) <= log_gains(values, bound) + 1e-9).all()


def test_a_late_change_is_seen_by_the_restarted_process_where_the_product_has_spent_its_stake():
    evidence = Evidence(0.6)
    for _ in range(12):
        evidence.look([0.3] * 64)
    for _ in range(3):
        evidence.look([0.9] * 64)
    assert evidence.log_restarted > math.log(15 / 0.05)
    assert evidence.log_spread > math.log(1 / 0.05)
    assert evidence.log_product < math.log(1 / 0.05)


def test_band_covers_the_mean_of_unequal_prompts_as_often_as_it_says():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(400):
        means = rng.beta(1, 1, size=32)
        low, high = band(rng.binomial(8, means) / 8, alpha=0.2)
        missed += not low <= means.mean() <= high
    assert missed / 400 <= 0.2


@given(shares)
def test_band_is_an_interval_that_holds_what_was_seen_and_narrows_with_prompts(values):
    low, high = band(values, 0.05)
    assert 0 <= low <= np.mean(values) + 1e-9 and np.mean(values) - 1e-9 <= high <= 1
    more_low, more_high = band(values * 8, 0.05)
    assert more_high - more_low <= high - low + 1e-9


@pytest.mark.parametrize(
    ("values", "bound", "message"),
    [
        ([], 0.5, "values have shape"),
        ([0.2, 1.2], 0.5, r"reach from 0.2 to 1.2: expected \[0, 1\]"),
        ([math.nan], 0.5, r"expected \[0, 1\]"),
        ([0.2], 1.0, "bound is 1.0"),
    ],
)
def test_numbers_on_which_the_guarantee_does_not_rest_are_refused(values, bound, message):
    with pytest.raises(ValueError, match=message):
        log_gains(values, bound)


def test_bets_that_can_lose_everything_are_refused():
    with pytest.raises(ValueError, match="bets are"):
        Evidence(0.5, bets=(1.0,))
