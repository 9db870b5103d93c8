"""Objectives: plain loops, ties and refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.vpo.answer_sets import TOLERANCE, sets
from vpo.objective import (
    GRPO,
    OBJECTIVES,
    VPO,
    AnswerGroups,
    MultiRLVR,
    make_objective,
    set_reward,
)


def scores_of(objective, rewards: Tensor, mask: Tensor, weights: Tensor | None, w_star: Tensor) -> Tensor:
    """Scores of N completions, as one group."""
    drawn = None if weights is None else weights.unsqueeze(0)
    return objective.scores(AnswerGroups(rewards.unsqueeze(0), mask.unsqueeze(0), w_star, drawn)).squeeze(0)


@settings(deadline=None)
@given(sets())
def test_vpo_is_the_set_reward(case):
    rewards, mask, weights = case
    w_star = torch.ones(rewards.shape[-1], dtype=torch.float64)
    expected = set_reward(rewards, weights, mask)
    torch.testing.assert_close(scores_of(VPO(), rewards, mask, weights, w_star), expected, **TOLERANCE)


def objective_in_loops(name: str, rewards: Tensor, mask: Tensor, w_star: Tensor, distinct: bool = True) -> list[float]:
    scores = []
    for answers, exists in zip(rewards.tolist(), mask.tolist(), strict=True):
        found = [tuple(answer) for answer, here in zip(answers, exists, strict=True) if here]
        utilities = [sum(w * r for w, r in zip(w_star.tolist(), answer, strict=True)) for answer in found]
        if not found:
            scores.append(0.0)
        elif name == "grpo":
            scores.append(utilities[0])
        elif name == "max":
            scores.append(max(utilities))
        elif name == "any":
            scores.append(float(any(all(r == 1 for r in answer) for answer in found)))
        else:
            scores.append(sum(dict(zip(found, utilities, strict=True)).values()) if distinct else sum(utilities))
    return scores


@settings(deadline=None, max_examples=150)
@given(sets(low=0.0), st.sampled_from(["grpo", "max", "any", "sum", "plain sum"]))
def test_objectives_equal_plain_loops(case, name):
    rewards, mask, _ = case
    w_star = torch.rand(rewards.shape[-1], dtype=torch.float64) + 0.1
    if name == "grpo":
        objective = GRPO()
    else:
        objective = MultiRLVR("sum", distinct=False) if name == "plain sum" else MultiRLVR(name)
    expected = objective_in_loops(name, rewards, mask, w_star, distinct=name != "plain sum")
    got = scores_of(objective, rewards, mask, None, w_star)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), **TOLERANCE)


def test_sum_counts_equal_reward_vectors_once():
    rewards = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    w_star = torch.tensor([0.5, 0.5])
    assert scores_of(MultiRLVR(), rewards, mask, None, w_star).item() == 1.0
    assert scores_of(MultiRLVR(distinct=False), rewards, mask, None, w_star).item() == 1.5


def test_a_missing_answer_does_not_hide_a_later_one_with_the_same_vector():
    rewards, mask = torch.ones(1, 2, 1), torch.tensor([[False, True]])
    assert scores_of(MultiRLVR(), rewards, mask, None, torch.ones(1)).item() == 1.0


def test_any_forgives_rounding_and_nothing_more():
    w_star = torch.tensor([1 / 7, 1 / 7, 1 / 7, 1 / 7, 3 / 7])
    rewards = torch.ones(3, 1, 5)
    rewards[1] = 1 - 2**-24  # the float32 before 1, as a score such as 3 * 0.1 / 0.3 may give
    rewards[2, 0, 0] = 0.999
    mask = torch.ones(3, 1, dtype=torch.bool)
    assert scores_of(MultiRLVR("any"), rewards, mask, None, w_star).tolist() == [1.0, 1.0, 0.0]


def test_any_gives_zero_to_a_completion_without_an_answer_under_zero_weights():
    assert (
        scores_of(MultiRLVR("any"), torch.zeros(1, 1, 1), torch.zeros(1, 1, dtype=torch.bool), None, torch.zeros(1))
        == 0
    )


def test_grpo_ignores_all_answers_but_the_first_that_exists():
    rewards = torch.tensor([[[9.0], [1.0], [5.0]], [[2.0], [7.0], [7.0]], [[3.0], [3.0], [3.0]]])
    mask = torch.tensor([[False, True, True], [True, True, True], [False, False, False]])
    assert scores_of(GRPO(), rewards, mask, None, torch.tensor([2.0])).tolist() == [2.0, 4.0, 0.0]


def test_objectives_are_found_by_name_and_say_whether_they_need_weightings():
    drawn = {name for name in OBJECTIVES if make_objective(name).uses_drawn_weightings}
    assert drawn == {"vpo", "random_weighting"}
    assert not make_objective("vpo", utility="hypervolume").uses_drawn_weightings
    assert all(make_objective(name).name == name for name in OBJECTIVES)
    assert make_objective("multi_rlvr", aggregation="max", distinct=False) == MultiRLVR("max", distinct=False)


def test_unknown_objectives_and_options_are_refused():
    with pytest.raises(ValueError, match="objective is 'ppo': expected one of dr_grpo, gdpo, grpo, max_at_k"):
        make_objective("ppo")
    with pytest.raises(TypeError, match=r"objective 'vpo' does not take the options \['alpha'\]"):
        make_objective("vpo", alpha=1.0)
    with pytest.raises(ValueError, match="aggregation is 'median': expected 'sum', 'max' or 'any'"):
        make_objective("multi_rlvr", aggregation="median")


def test_vpo_without_weightings_is_refused():
    with pytest.raises(ValueError, match="got no weightings"):
        scores_of(VPO(), torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), None, torch.ones(1))


@pytest.mark.parametrize("objective", [GRPO(), MultiRLVR(), MultiRLVR("max")])
def test_deployment_weights_must_match_the_components(objective):
    with pytest.raises(ValueError, match=r"w_star is .* does not fit"):
        scores_of(objective, torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool), None, torch.ones(1))
