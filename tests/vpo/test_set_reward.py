"""Set reward: laws, a slow oracle, published values and refusals."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.vpo.answer_sets import TOLERANCE, sets
from vpo.objective import (
    group_advantages,
    set_reward,
)
from vpo.weightings import Dirichlet


def set_reward_in_loops(rewards: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    scores = []
    for answers, exists in zip(rewards.tolist(), mask.tolist(), strict=True):
        total = 0.0
        for weighting in weights.tolist():
            utilities = [
                sum(w * r for w, r in zip(weighting, answer, strict=True))
                for answer, here in zip(answers, exists, strict=True)
                if here
            ]
            total += max(utilities) if utilities else 0.0
        scores.append(total / len(weights))
    return torch.tensor(scores, dtype=torch.float64)


@settings(deadline=None)
@given(sets())
def test_set_reward_equals_plain_loops(case):
    rewards, mask, weights = case
    torch.testing.assert_close(
        set_reward(rewards, weights, mask), set_reward_in_loops(rewards, mask, weights), **TOLERANCE
    )


@settings(deadline=None)
@given(sets(min_answers=1))
def test_what_stands_in_the_place_of_a_missing_answer_is_not_read(case):
    rewards, mask, weights = case
    junk = torch.where(mask.unsqueeze(-1), rewards, math.nan)
    assert torch.equal(set_reward(junk, weights, mask), set_reward(rewards, weights, mask))


@settings(deadline=None)
@given(sets(), st.randoms())
def test_the_order_of_answers_does_not_matter(case, rng):
    rewards, mask, weights = case
    order = list(range(rewards.shape[1]))
    rng.shuffle(order)
    torch.testing.assert_close(
        set_reward(rewards[:, order], weights, mask[:, order]), set_reward(rewards, weights, mask), **TOLERANCE
    )


@settings(deadline=None)
@given(sets(min_answers=1))
def test_adding_an_answer_never_lowers_the_set_reward(case):
    rewards, mask, weights = case
    fewer = mask.clone()
    fewer[:, 1:] = False
    gain = set_reward(rewards, weights, mask) - set_reward(rewards, weights, fewer)
    assert (gain >= -1e-12).all()


@settings(deadline=None)
@given(sets(min_answers=1))
def test_set_reward_lies_between_each_answer_and_the_best_component(case):
    rewards, mask, weights = case
    score = set_reward(rewards, weights, mask)
    mean_utility = (rewards @ weights.T).mean(-1)  # (N, M)
    assert (mean_utility.masked_fill(~mask, -math.inf) <= score.unsqueeze(-1) + 1e-12).all()
    assert (score <= rewards.masked_fill(~mask.unsqueeze(-1), -math.inf).amax((1, 2)) + 1e-6).all()  # float32 weights


@settings(deadline=None)
@given(sets(), st.floats(0, 100))
def test_set_reward_scales_with_the_rewards(case, factor):
    rewards, mask, weights = case
    torch.testing.assert_close(
        set_reward(factor * rewards, weights, mask), factor * set_reward(rewards, weights, mask), atol=1e-10, rtol=1e-10
    )


@settings(deadline=None)
@given(sets(), st.randoms())
def test_the_order_of_components_does_not_matter(case, rng):
    rewards, mask, weights = case
    order = list(range(rewards.shape[-1]))
    rng.shuffle(order)
    torch.testing.assert_close(
        set_reward(rewards[..., order], weights[:, order], mask), set_reward(rewards, weights, mask), **TOLERANCE
    )


def test_max_is_inside_and_mean_outside():
    # Two specialists, tastes (1, 0) and (0, 1): each taste finds its own answer, so 1; best of the means would be 0.5.
    assert set_reward(torch.eye(2), torch.eye(2)).item() == 1.0


@pytest.mark.parametrize(
    ("dim", "published"), [(3, 0.611), (6, 0.536), (9, 0.499), (15, 0.463)]
)  # Monte Carlo figures of three specialists, each solving a disjoint third of the components
def test_pay_for_three_specialists_shrinks_with_the_number_of_components(dim, published):
    specialists = torch.zeros(3, dim)
    for index in range(3):
        specialists[index, index * dim // 3 : (index + 1) * dim // 3] = 1.0
    score = set_reward(specialists, Dirichlet(1.0, "sobol").draw(4096, dim, seed=0))
    assert score.item() == pytest.approx(published, abs=0.004)


def test_a_point_below_the_convex_hull_earns_nothing():
    corners = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with_compromise = torch.cat([corners, torch.tensor([[0.45, 0.45]])])
    weights = Dirichlet().draw(100, 2, seed=0)
    assert torch.equal(set_reward(with_compromise, weights), set_reward(corners, weights))


def test_weightings_per_group_equal_one_call_per_group():
    generator = torch.Generator().manual_seed(0)
    rewards = torch.rand(3, 4, 2, 5, generator=generator, dtype=torch.float64)  # P, G, M, D
    mask = torch.rand(3, 4, 2, generator=generator) < 0.6
    weights = torch.stack([Dirichlet().draw(7, 5, seed) for seed in range(3)]).double()  # P, K, D
    expected = torch.stack([set_reward(rewards[p], weights[p], mask[p]) for p in range(3)])
    torch.testing.assert_close(set_reward(rewards, weights.unsqueeze(1), mask), expected, **TOLERANCE)
    flat = set_reward(rewards.view(12, 2, 5), weights.repeat_interleave(4, dim=0), mask.view(12, 2))
    torch.testing.assert_close(flat.view(3, 4), expected, **TOLERANCE)


def test_a_set_without_an_answer_scores_zero_even_among_negative_rewards():
    rewards = torch.tensor([[[-1.0], [-2.0]], [[-3.0], [math.nan]]])
    mask = torch.tensor([[True, True], [False, False]])
    assert set_reward(rewards, torch.ones(4, 1), mask).tolist() == [-1.0, 0.0]
    assert set_reward(torch.zeros(3, 0, 2), torch.ones(1, 2)).tolist() == [0.0, 0.0, 0.0]


def test_equal_answer_sets_score_equal_to_the_last_bit_wherever_they_stand_in_the_batch():
    # Otherwise rounding, divided by a standard deviation near 0, would become an advantage.
    for size, dim in [(8, 3), (63, 4), (63, 5), (200, 16)]:
        one = torch.rand(3, dim, generator=torch.Generator().manual_seed(dim))
        orders = torch.stack([one[torch.arange(3).roll(shift)] for shift in range(3)])
        weights = Dirichlet().draw(100, dim, seed=0)
        for drawn in (weights, weights.expand(size, -1, -1)):
            scores = set_reward(orders.repeat(size, 1, 1)[:size], drawn)
            assert scores.unique().numel() == 1
            assert group_advantages(scores, size).count_nonzero() == 0


@pytest.mark.parametrize(
    ("rewards", "weights", "mask", "message"),
    [
        ((2, 3, 4), (5, 3), None, r"\(2, 3, 4\) and weights \(5, 3\) do not fit"),
        ((4,), (5, 4), None, "do not fit"),
        ((2, 3, 4), (4,), None, "do not fit"),
        ((2, 3, 4), (0, 4), None, "K and D at least 1"),
        ((2, 3, 0), (5, 0), None, "K and D at least 1"),
        ((2, 3, 4), (3, 5, 4), None, "do not broadcast over rewards"),
        ((1, 3, 4), (2, 5, 4), None, "do not broadcast over rewards"),
        ((2, 3, 4), (5, 4), (2, 4), r"mask is \(2, 4\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(rewards, weights, mask, message):
    mask = None if mask is None else torch.ones(mask, dtype=torch.bool)
    with pytest.raises(ValueError, match=message):
        set_reward(torch.zeros(rewards), torch.ones(weights), mask)


def test_a_mask_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"expected \(2, 3\) of torch\.bool"):
        set_reward(torch.zeros(2, 3, 1), torch.ones(1, 1), torch.ones(2, 3))
