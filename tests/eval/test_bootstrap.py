"""Bands over prompts and errors over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eval.bootstrap import bootstrap_band, bootstrap_mean, mean_and_error, paired_difference, resampled_means


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


def test_the_interval_of_a_mean_is_the_band_of_a_curve_with_one_point():
    values = np.random.default_rng(2).random(40)
    interval, band = bootstrap_mean(values, seed=5), bootstrap_band(values[:, None], seed=5)
    assert (interval.mean, interval.lo, interval.hi, interval.se) == (band.mean[0], band.lo[0], band.hi[0], band.se[0])
    assert interval.mean == pytest.approx(values.mean())
    assert interval.lo < interval.mean < interval.hi


def test_the_standard_error_is_that_of_the_mean():
    values = np.random.default_rng(3).normal(size=400)
    assert bootstrap_mean(values, num=4000).se == pytest.approx(values.std() / 20, rel=0.05)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(4).random(30)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_resamples_are_means_of_prompts_drawn_with_replacement():
    """Of two prompts, 0 and 1, a resample has mean 0, .5 or 1 with chances 1/4, 1/2, 1/4."""
    interval = bootstrap_mean([0.0, 1.0], num=8000)
    assert (interval.lo, interval.hi) == (0, 1)
    assert interval.se == pytest.approx(np.sqrt(1 / 8), rel=0.03)
    middle = bootstrap_mean([0.0, 1.0], num=8000, level=0.4)
    assert (middle.lo, middle.hi) == (0.5, 0.5)


def test_a_single_prompt_has_a_mean_and_no_interval():
    interval = bootstrap_mean([0.3])
    assert interval.mean == 0.3
    assert all(map(math.isnan, (interval.lo, interval.hi, interval.se)))


def test_a_paired_difference_sees_what_two_intervals_hide():
    rng = np.random.default_rng(5)
    easy = rng.random(100)  # what makes a prompt easy, makes it easy for both
    a, b = easy + 0.02 + 0.01 * rng.normal(size=100), easy
    first, second, both = bootstrap_mean(a), bootstrap_mean(b), paired_difference(a, b)
    assert first.lo < second.hi
    assert 0 < both.lo < 0.02 < both.hi
    assert both.mean == pytest.approx(first.mean - second.mean)


def test_a_large_mean_does_not_blur_the_interval():
    values = np.random.default_rng(6).random(50)
    near, far = bootstrap_mean(values), bootstrap_mean(values + 1e9)
    assert far.se == pytest.approx(near.se, rel=1e-5)


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
        (lambda: mean_and_error([1.0, math.nan]), "finite number for each seed"),
        (lambda: bootstrap_mean(np.ones((2, 2))), r"expected \(P,\). Use bootstrap_band"),
        (lambda: bootstrap_mean([]), "with a prompt at least"),
        (lambda: bootstrap_mean([1.0, 2.0], num=1), "num is 1"),
        (lambda: paired_difference([1.0, 2.0], [1.0]), "the same prompts in both"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_columns_are_resampled_together_so_that_functions_of_several_means_can_be_taken() -> None:
    values = np.random.default_rng(0).normal(size=(9, 1))
    means = resampled_means(np.hstack([values, 2 * values, np.ones_like(values)]), num=50, seed=3)
    assert means.shape == (50, 3)
    assert np.allclose(means[:, 1], 2 * means[:, 0]) and np.allclose(means[:, 2], 1)
