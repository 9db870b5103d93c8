"""Telling a vector reward from a scalar in disguise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.collinearity import reward_geometry, taste_gain
from vpo.weightings import Dirichlet


def pools(correlation: float, prompts: int = 60, answers: int = 24, dim: int = 4, seed: int = 0):
    """Rewards whose components share a factor; (P, A, D) and a mask."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(prompts, answers, 1, generator=generator)
    own = torch.randn(prompts, answers, dim, generator=generator)
    rewards = correlation**0.5 * common + (1 - correlation) ** 0.5 * own
    return rewards, torch.ones(prompts, answers, dtype=torch.bool)


def test_a_scalar_written_several_times_gains_nothing_from_tastes():
    scalar = torch.rand(40, 10, 1)
    found = reward_geometry(scalar * torch.tensor([1.0, 1.0, 1.0]), torch.ones(40, 10, dtype=torch.bool))
    assert found.specialist_gain < 1e-9
    assert found.correlation == pytest.approx(1.0)
    assert found.effective_rank == pytest.approx(1.0)
    assert found.verdict == "scalar"
    assert "is a scalar in fact" in found.explain()


def test_components_of_different_scale_that_move_together_are_a_scalar_too():
    scalar = torch.rand(40, 10, 1)
    found = reward_geometry(scalar * torch.tensor([5.0, 0.1, 1.0]) + 0.3, torch.ones(40, 10, dtype=torch.bool))
    assert found.specialist_gain < 1e-6
    assert found.verdict == "scalar"


def test_specialists_are_a_vector():
    rewards = torch.eye(3).expand(20, 3, 3)
    found = reward_geometry(rewards, torch.ones(20, 3, dtype=torch.bool))
    # E[max w] of a flat Dirichlet in three components is 11/18; one answer for all earns 1/3, and so does a blind one.
    assert found.specialist_gain == pytest.approx(1.0, abs=1e-3)
    assert found.correlation == pytest.approx(-0.5)
    assert found.verdict == "vector"
    assert "is a vector" in found.explain()


def test_the_gain_falls_as_components_grow_alike():
    gains = [reward_geometry(*pools(rho)).specialist_gain for rho in (0.0, 0.5, 0.9, 0.99)]
    assert gains == sorted(gains, reverse=True)
    assert reward_geometry(*pools(0.0)).verdict == "vector"
    assert reward_geometry(*pools(0.9)).correlation == pytest.approx(0.9, abs=0.03)
    assert reward_geometry(*pools(0.999)).verdict == "scalar"


def test_correlated_components_may_still_be_a_vector_which_correlation_alone_does_not_show():
    # One bad answer moves all components together; the good ones trade off against each other.
    rewards = torch.tensor([[1.0, 0.7], [0.7, 1.0], [0.0, 0.0], [0.05, 0.0]]).expand(30, 4, 2)
    found = reward_geometry(rewards, torch.ones(30, 4, dtype=torch.bool))
    assert found.correlation > 0.8
    assert found.verdict == "vector"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
def test_the_gain_lies_between_nothing_and_what_choosing_is_worth(seed, prompts, answers, dim):
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.rand(prompts, answers, dim, generator=generator)
    mask = torch.rand(prompts, answers, generator=generator) < 0.7
    gain, worth = taste_gain(rewards, mask)
    assert (gain >= 0).all()
    assert (gain <= worth + 1e-9).all()
    if dim == 1:
        assert gain.abs().max() < 1e-9
    junk = torch.where(mask.unsqueeze(-1), rewards, torch.nan)
    torch.testing.assert_close(taste_gain(junk, mask)[0], gain)


def test_the_gain_equals_plain_loops():
    rewards = torch.rand(1, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = Dirichlet(1.0).draw(86, 3, 0).double()
    weights = torch.cat([drawn, drawn.roll(1, 1), drawn.roll(2, 1)])
    tastes = [[sum(w * r for w, r in zip(t, a, strict=True)) for a in rewards[0].tolist()] for t in weights.tolist()]
    by_taste = sum(map(max, tastes)) / len(tastes)
    mean = [sum(column) / len(tastes) for column in zip(*tastes, strict=True)]
    gain, worth = taste_gain(rewards, torch.ones(1, 5, dtype=torch.bool))
    assert gain.item() == pytest.approx(by_taste - max(mean))
    assert worth.item() == pytest.approx(by_taste - sum(mean) / len(mean))


def test_without_a_choice_nothing_is_decided():
    found = reward_geometry(torch.rand(3, 1, 2), torch.ones(3, 1, dtype=torch.bool))
    assert math.isnan(found.specialist_gain)
    assert found.verdict == "undecided"
    assert "not enough to tell" in found.explain()
    with pytest.raises(ValueError, match="expected"):
        reward_geometry(torch.rand(3, 2), torch.ones(3, 2, dtype=torch.bool))
