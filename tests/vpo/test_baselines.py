"""GRPO's kin and the best-of-k objectives against brute force and TRL's own formulas."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.answer_groups import answer_groups
from vpo.objective import (
    GDPO,
    GRPO,
    AnswerGroups,
    DrGRPO,
    MaxAtK,
    MaxRL,
    PassAtK,
    RandomWeighting,
    make_objective,
    subset_maxima,
)

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}


def trl_normalize_then_sum(rewards_per_func, reward_weights, num_generations):
    """The lines of TRL 1.16's ``multi_objective_aggregation="normalize_then_sum"``."""
    from trl.trainer.utils import nanstd

    grouped = rewards_per_func.view(-1, num_generations, len(reward_weights))
    mean_k = torch.nanmean(grouped, dim=1, keepdim=True)
    std_k = nanstd(grouped, dim=1, keepdim=True) if num_generations > 1 else torch.zeros_like(mean_k)
    reward_k = (grouped - mean_k) / (std_k + 1e-4)
    reward_k = reward_k.view(-1, len(reward_weights))
    rewards = (reward_k * reward_weights.unsqueeze(0)).nansum(dim=1)
    std_rewards = nanstd(rewards).expand_as(rewards) if rewards.numel() > 1 else torch.zeros_like(rewards)
    return (rewards - torch.nanmean(rewards)) / (std_rewards + 1e-4)


def singles(prompts: int, members: int, dim: int, seed: int, dtype=torch.float64) -> AnswerGroups:
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.rand(prompts, members, 1, dim, generator=generator, dtype=dtype)
    mask = torch.ones(prompts, members, 1, dtype=torch.bool)
    return AnswerGroups(rewards, mask, torch.rand(dim, generator=generator, dtype=dtype) + 0.1)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(2, 9), st.integers(1, 5), st.integers(0, 2**31))
def test_gdpo_is_trls_normalize_then_sum(prompts, members, dim, seed):
    groups = singles(prompts, members, dim, seed)
    objective = GDPO()
    got = objective.advantages(groups, objective.scores(groups))
    expected = trl_normalize_then_sum(groups.rewards.reshape(-1, dim), groups.w_star[0], members)
    torch.testing.assert_close(got.view(-1), expected, atol=1e-6, rtol=1e-6)


def test_gdpo_gives_a_component_on_which_a_group_agrees_no_say():
    groups = singles(2, 4, 2, 0)
    groups.rewards[0, :, :, 1] = 0.3
    got = GDPO().advantages(groups, GDPO().scores(groups))
    alone = AnswerGroups(groups.rewards[:1, ..., :1], groups.mask[:1], groups.w_star[0, :1])
    ranking = GDPO().advantages(alone, GDPO().scores(alone))[0].argsort()
    assert torch.equal(got[0].argsort(), ranking)
    groups.rewards[:] = 0.3
    assert GDPO().advantages(groups, GDPO().scores(groups)).count_nonzero() == 0


def test_dr_grpo_only_centres():
    groups = singles(3, 4, 2, 1)
    scores = DrGRPO().scores(groups)
    torch.testing.assert_close(scores, GRPO().scores(groups))
    got = DrGRPO().advantages(groups, scores, "group")
    torch.testing.assert_close(got, scores - scores.mean(dim=1, keepdim=True), **TOLERANCE)


def test_maxrl_divides_by_the_mean():
    rewards = torch.tensor([[[[1.0]], [[0.0]], [[0.0]], [[0.0]]], [[[0.0]], [[0.0]], [[0.0]], [[0.0]]]])
    groups = AnswerGroups(rewards, torch.ones(2, 4, 1, dtype=torch.bool), torch.ones(1))
    got = MaxRL(eps=0.0).advantages(AnswerGroups(rewards[:1], groups.mask[:1], torch.ones(1)), rewards[:1, :, 0, 0])
    torch.testing.assert_close(got, torch.tensor([[3.0, -1.0, -1.0, -1.0]]))
    assert MaxRL().advantages(groups, MaxRL().scores(groups))[1].count_nonzero() == 0
    with pytest.raises(ValueError, match="expects at least 0"):
        MaxRL().advantages(groups, MaxRL().scores(groups) - 1)


def test_random_weighting_scores_all_members_under_one_drawn_taste():
    weights = torch.tensor([[[0.2, 0.8], [1.0, 0.0]]])
    rewards = torch.tensor([[[[1.0, 0.5]], [[0.0, 1.0]]]])
    groups = AnswerGroups(rewards, torch.ones(1, 2, 1, dtype=torch.bool), torch.ones(2), weights)
    torch.testing.assert_close(RandomWeighting().scores(groups), torch.tensor([[0.6, 0.8]]))
    with pytest.raises(ValueError, match="'random_weighting' got no weightings"):
        RandomWeighting().scores(AnswerGroups(rewards, groups.mask, torch.ones(2)))


def maxima_in_loops(scores: list[float], k: int) -> list[float]:
    subsets = list(itertools.combinations(range(len(scores)), k))
    return [
        sum(max(scores[j] for j in subset) for subset in subsets if i in subset) / len(subsets)
        for i in range(len(scores))
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0, -1.0]), min_size=1, max_size=8), st.data())
def test_max_at_k_equals_all_subsets(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    got = subset_maxima(torch.tensor([scores], dtype=torch.float64), k)
    torch.testing.assert_close(got[0], torch.tensor(maxima_in_loops(scores, k), dtype=torch.float64), **TOLERANCE)


def test_max_at_k_gives_equal_scores_equal_pay_to_the_last_bit():
    scores = torch.tensor([[0.3, 0.1, 0.3, 0.7, 0.3, 0.1, 0.1, 0.7]])
    got = subset_maxima(scores, 4)[0]
    assert len({got[i].item() for i in (0, 2, 4)}) == 1
    assert len({got[i].item() for i in (1, 5, 6)}) == 1


@settings(deadline=None)
@given(answer_groups())
def test_max_at_k_of_sets_takes_the_best_answer_of_each(groups):
    members = groups.rewards.shape[1]
    k = min(max(2, members // 2), members)
    best = groups.best(groups.utilities())
    expected = torch.tensor([maxima_in_loops(row, k) for row in best.tolist()], dtype=torch.float64)
    torch.testing.assert_close(MaxAtK().scores(groups), expected, **TOLERANCE)


def pass_at_k_in_loops(solved: list[float], k: int) -> list[float]:
    """Advantage of a subset: its reward normalised over all subsets; of a member: the mean over its subsets."""
    subsets = list(itertools.combinations(range(len(solved)), k))
    pays = [float(any(solved[j] for j in subset)) for subset in subsets]
    mean = sum(pays) / len(pays)
    std = (sum((p - mean) ** 2 for p in pays) / len(pays)) ** 0.5
    if std == 0:
        return [0.0] * len(solved)
    return [
        sum((p - mean) / std for p, subset in zip(pays, subsets, strict=True) if i in subset)
        / sum(i in subset for subset in subsets)
        for i in range(len(solved))
    ]


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=8), st.data())
def test_pass_at_k_equals_all_subsets(solved, data):
    k = data.draw(st.integers(1, len(solved)))
    rewards = torch.tensor(solved, dtype=torch.float64).view(1, -1, 1, 1)
    groups = AnswerGroups(rewards, torch.ones(1, len(solved), 1, dtype=torch.bool), torch.ones(1))
    objective = PassAtK(k)
    got = objective.advantages(groups, objective.scores(groups))
    torch.testing.assert_close(got[0], torch.tensor(pass_at_k_in_loops(solved, k), dtype=torch.float64), **TOLERANCE)


def test_pass_at_k_counts_a_share_of_full_utility_as_solved_if_told_to():
    rewards = torch.tensor([[[[0.8, 0.8]], [[1.0, 1.0]], [[0.2, 0.9]]]])
    groups = AnswerGroups(rewards, torch.ones(1, 3, 1, dtype=torch.bool), torch.tensor([0.5, 0.5]))
    assert PassAtK().scores(groups).tolist() == [[0.0, 1.0, 0.0]]
    assert PassAtK(threshold=0.8).scores(groups).tolist() == [[1.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("max_at_k", {"k": 0}, "k is 0: expected a whole number"),
        ("pass_at_k", {"k": 1.5}, "k is 1.5: expected a whole number"),
        ("pass_at_k", {"threshold": 0.0}, r"threshold is 0.0: expected a share in \(0, 1\]"),
    ],
)
def test_options_without_a_meaning_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_objective(name, **options)


def test_a_k_above_the_group_is_the_group():
    groups = singles(1, 4, 2, 0)  # as in an evaluation with fewer completions than training
    assert torch.equal(MaxAtK(9).scores(groups), MaxAtK(4).scores(groups))
    assert PassAtK(9).advantages(groups, PassAtK(9).scores(groups)).shape == (1, 4)


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "gdpo", "maxrl", "max_at_k", "pass_at_k"])
def test_a_group_that_agrees_gets_no_advantage(name):
    groups = AnswerGroups(torch.full((2, 4, 1, 3), 0.3), torch.ones(2, 4, 1, dtype=torch.bool), torch.ones(3) / 3)
    objective = make_objective(name)
    assert objective.advantages(groups, objective.scores(groups)).count_nonzero() == 0


@settings(deadline=None, max_examples=30)
@given(answer_groups(), st.sampled_from(["grpo", "maxrl", "max_at_k", "pass_at_k", "multi_rlvr", "vpo"]))
def test_what_stands_in_the_place_of_a_missing_answer_is_not_read(groups, name):
    objective = make_objective(name)
    junk = AnswerGroups(
        torch.where(groups.mask.unsqueeze(-1), groups.rewards, torch.nan), groups.mask, groups.w_star, groups.weights
    )
    torch.testing.assert_close(objective.scores(junk), objective.scores(groups), **TOLERANCE)
