"""Concentration by number of components, weightings around w*, corners and lexicase orders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.objective import set_reward
from vpo.weightings import Corners, Dirichlet, Lexicase


def three_specialists(dim: int) -> torch.Tensor:
    rewards = torch.zeros(3, dim)
    for index in range(3):
        rewards[index, index * dim // 3 : (index + 1) * dim // 3] = 1.0
    return rewards


@pytest.mark.parametrize("dim", [3, 6, 15, 30])
def test_alpha_by_number_of_components_keeps_the_pay_of_a_specialist(dim):
    kept = set_reward(three_specialists(dim), Dirichlet("1/d", "sobol").draw(4096, dim, 0)).item()
    assert kept == pytest.approx(0.756, abs=0.01)
    if dim == 30:
        assert set_reward(three_specialists(dim), Dirichlet(1.0, "sobol").draw(4096, dim, 0)).item() < 0.44


def test_alpha_as_text_is_so_much_divided_by_the_number_of_components():
    assert torch.equal(Dirichlet("2/d").draw(7, 4, 3), Dirichlet(0.5).draw(7, 4, 3))
    assert torch.equal(Dirichlet(" 1.5e0 / d").draw(7, 3, 3), Dirichlet(0.5).draw(7, 3, 3))
    for bad in ("d/2", "1/k", "0/d", "-1/d", ""):
        with pytest.raises(ValueError, match="alpha is"):
            Dirichlet(bad)


@pytest.mark.parametrize("weighting", [Dirichlet(), Dirichlet(0.3, "sobol"), Dirichlet("3/d", "sobol"), Corners()])
def test_the_mean_weighting_is_the_centre(weighting):
    center = [3.0, 0.0, 1.0, 2.0]
    drawn = weighting.draw(8192, 4, 0, center)
    np.testing.assert_allclose(drawn.mean(0), np.array(center) / 6, atol=0.015)
    assert drawn[:, 1].count_nonzero() == 0
    np.testing.assert_allclose(drawn.sum(1), 1.0, atol=1e-5)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32), st.sampled_from(["iid", "sobol"]))
def test_an_even_centre_changes_nothing(dim, seed, method):
    weighting = Dirichlet(0.7, method)
    assert torch.equal(weighting.draw(9, dim, seed), weighting.draw(9, dim, seed, [2.0] * dim))


def test_a_component_without_weight_is_as_if_it_were_not_there():
    wide = Dirichlet(1.0).draw(50, 4, 1, [1.0, 0.0, 1.0, 1.0])
    assert torch.equal(wide[:, [0, 2, 3]], Dirichlet(1.0).draw(50, 3, 1))
    assert Dirichlet().draw(5, 3, 0, [0.0, 0.0, 2.0]).tolist() == [[0.0, 0.0, 1.0]] * 5


@pytest.mark.parametrize("center", [[1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, float("nan"), 1.0]])
def test_a_centre_that_is_none_is_refused(center):
    for weighting in (Dirichlet(), Corners(), Lexicase()):
        with pytest.raises(ValueError, match="centre of the weightings is"):
            weighting.draw(4, 3, 0, center)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**40))
def test_corners_come_up_equally_often(times, dim, seed):
    drawn = Corners().draw(times * dim, dim, seed)
    assert drawn.sum(0).tolist() == [times] * dim
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_the_first_of_the_corners_is_any_of_them():
    first = torch.stack([Corners().draw(100, 4, seed)[0] for seed in range(400)]).mean(0)
    np.testing.assert_allclose(first, 0.25, atol=0.08)


def lexicase(rewards: list[list[float]], order: list[int]) -> list[float]:
    kept = rewards
    for component in order:
        best = max(answer[component] for answer in kept)
        kept = [answer for answer in kept if answer[component] == best]
    return kept[0]


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 6))
def test_a_lexicase_weighting_picks_the_answer_that_lexicase_selection_picks(seed, dim):
    rewards = torch.randint(0, 2, (5, dim), generator=torch.Generator().manual_seed(seed % 2**31)).float()
    for weights in Lexicase().draw(8, dim, seed):
        chosen = rewards[(rewards @ weights).argmax()].tolist()
        assert chosen == lexicase(rewards.tolist(), weights.argsort(descending=True).tolist())


def test_lexicase_orders_come_up_equally_often():
    first = Lexicase().draw(6000, 3, 0).argmax(1).bincount(minlength=3) / 6000
    np.testing.assert_allclose(first, 1 / 3, atol=0.03)
    with pytest.raises(ValueError, match=r"ratio is 1\.0"):
        Lexicase(1.0)
