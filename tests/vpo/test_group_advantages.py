"""Group advantages: TRL's formula written out and matched bit for bit, hand-made values, laws and refusals."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from trl.trainer.grpo_trainer import GRPOTrainer

from vpo.objective import AnswerGroups, group_advantages, make_objective
from vpo.weightings import Fixed

TOLERANCE = {"atol": 1e-12, "rtol": 1e-12}


def trl_advantages(rewards_per_func: Tensor, reward_weights: Tensor, num_generations: int, scale: str) -> Tensor:
    """The advantage block of TRL 1.16's GRPOTrainer ("sum_then_normalize"), written out."""

    def nanstd(tensor: Tensor, dim: int | None = None) -> Tensor:
        mean = torch.nanmean(tensor, dim=dim, keepdim=True)
        variance = torch.nanmean((tensor - mean) ** 2, dim=dim, keepdim=True)
        count = torch.sum(~torch.isnan(tensor), dim=dim, keepdim=True)
        correction = count / (count - 1)
        variance *= torch.where(count > 1, correction, torch.full_like(correction, float("nan")))
        return torch.sqrt(variance).squeeze(dim) if dim is not None else torch.sqrt(variance).squeeze()

    rewards = (rewards_per_func * reward_weights.unsqueeze(0)).nansum(dim=1)
    mean = torch.nanmean(rewards.view(-1, num_generations), dim=1).repeat_interleave(num_generations, dim=0)
    if scale == "batch":
        std = nanstd(rewards).expand_as(rewards)
    else:
        std = nanstd(rewards.view(-1, num_generations), dim=1).repeat_interleave(num_generations, dim=0)
    advantages = rewards - mean
    return advantages if scale == "none" else advantages / (std + 1e-4)


@settings(deadline=None, max_examples=200)
@given(
    groups=st.integers(1, 6),
    size=st.integers(2, 17),
    dim=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    scale=st.sampled_from(["group", "batch", "none"]),
    name=st.sampled_from(["vpo", "grpo"]),
)
def test_one_answer_with_fixed_weights_is_trl_grpo_to_the_last_bit(groups, size, dim, seed, scale, name):
    generator = torch.Generator().manual_seed(seed)
    rewards = 3 * torch.randn(groups * size, dim, generator=generator)
    w_star = torch.rand(dim, generator=generator)
    weights = Fixed(tuple(w_star.tolist())).draw(100, dim, seed=0)
    mask = torch.ones(groups * size, 1, dtype=torch.bool)
    sets = AnswerGroups(
        rewards.view(groups, size, 1, dim), mask.view(groups, size, 1), w_star, weights.expand(groups, 1, dim)
    )
    objective = make_objective(name)
    advantages = objective.advantages(sets, objective.scores(sets), scale).view(-1)
    assert torch.equal(advantages, trl_advantages(rewards, w_star, size, scale))


def test_the_formula_above_is_still_the_one_that_trl_runs():
    # Guards the copy: the lines it was taken from stand in the installed TRL.
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    for line in (
        "rewards = (rewards_per_func * self.reward_weights.to(device).unsqueeze(0)).nansum(dim=1)",
        "std_rewards = nanstd(rewards.view(-1, num_generations), dim=1)",
        "std_rewards = nanstd(rewards).expand_as(rewards)",
        "advantages = rewards - mean_grouped_rewards",
        "advantages = advantages / (std_rewards + 1e-4)",
    ):
        assert line in source


def test_advantages_by_hand():
    # Group (0, 1): mean .5, sample std sqrt(.5) = .7071; group (2, 4): mean 3, std sqrt(2).
    scores = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    std = torch.tensor([math.sqrt(0.5), math.sqrt(0.5), math.sqrt(2), math.sqrt(2)], dtype=torch.float64)
    by_group = torch.tensor([-0.5, 0.5, -1.0, 1.0], dtype=torch.float64) / (std + 1e-4)
    torch.testing.assert_close(group_advantages(scores, 2), by_group, **TOLERANCE)
    assert group_advantages(scores, 2, "none").tolist() == [-0.5, 0.5, -1.0, 1.0]
    std = math.sqrt((1.75**2 + 0.75**2 + 0.25**2 + 2.25**2) / 3)  # all four, mean 1.75
    expected = torch.tensor([-0.5, 0.5, -1.0, 1.0], dtype=torch.float64) / (std + 1e-4)
    torch.testing.assert_close(group_advantages(scores, 2, "batch"), expected, **TOLERANCE)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_group_of_equal_scores_gets_exactly_zero(scale):
    scores = torch.cat([torch.full((7,), 0.1), torch.rand(7, generator=torch.Generator().manual_seed(0))])
    advantages = group_advantages(scores, 7, scale)
    assert advantages[:7].tolist() == [0.0] * 7
    assert advantages[7:].count_nonzero() == 7


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_a_group_of_one_gets_zero(scale):
    assert group_advantages(torch.tensor([0.3, 0.9]), 1, scale).tolist() == [0.0, 0.0]
    assert group_advantages(torch.tensor([0.3]), 1, scale).tolist() == [0.0]


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 999), st.sampled_from(["group", "batch", "none"]))
def test_advantages_of_a_group_sum_to_zero_and_keep_the_order_of_scores(groups, size, seed, scale):
    scores = torch.rand(groups * size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    advantages = group_advantages(scores, size, scale).view(groups, size)
    torch.testing.assert_close(advantages.sum(1), torch.zeros(groups, dtype=torch.float64), atol=1e-9, rtol=0)
    assert torch.equal(advantages.argsort(1), scores.view(groups, size).argsort(1))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match=f"score of completion 2 is {bad}: expected a finite number"):
        group_advantages(torch.tensor([0.0, 1.0, bad, 0.0]), 2)


@pytest.mark.parametrize(
    ("scores", "size", "scale", "message"),
    [
        (torch.zeros(5), 2, "group", "5 scores do not divide into groups of 2"),
        (torch.zeros(4), 0, "group", "groups of 0"),
        (torch.zeros(2, 2), 2, "group", r"expected \(N,\) floating point"),
        (torch.zeros(4, dtype=torch.long), 2, "group", "floating point"),
        (torch.zeros(4), 2, "rows", "scale is 'rows': expected 'group', 'batch' or 'none'"),
    ],
)
def test_impossible_advantages_are_refused(scores, size, scale, message):
    with pytest.raises(ValueError, match=message):
        group_advantages(scores, size, scale)
