"""Bands over prompts and errors over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.bootstrap import bootstrap_band, mean_and_error


def test_the_band_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        band = bootstrap_band(rng.normal(size=(40, 1)), num=300, level=0.9, seed=trial)
        hits += bool(band.lo[0] <= 0 <= band.hi[0])
    assert 0.83 < hits / 300 < 0.95  # nominal .90; the percentile interval is a little narrow at 40 prompts


def test_the_same_prompts_are_drawn_for_every_point_of_a_curve():
    values = np.random.default_rng(1).random((30, 1)) @ np.ones((1, 5)) + np.arange(5)
    band = bootstrap_band(values)
    assert np.allclose(band.hi - band.lo, (band.hi - band.lo)[0])
    assert np.allclose(band.mean, values.mean(0))


def test_standard_error_by_hand():
    estimate = mean_and_error([1.0, 2.0, 3.0])
    assert (estimate.mean, estimate.se) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert str(estimate) == "2.000 +- 0.577"
    assert math.isnan(mean_and_error([4.0]).se)
    assert str(mean_and_error([4.0])) == "4.000"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_band(np.ones(3)), r"expected \(P, T\)"),
        (lambda: bootstrap_band(np.full((2, 2), np.nan)), "finite"),
        (lambda: bootstrap_band(np.ones((2, 2)), level=95), "level is 95"),
        (lambda: mean_and_error([]), "no values"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
