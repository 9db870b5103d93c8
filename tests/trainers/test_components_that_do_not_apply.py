"""Prompts with fewer components than others: None in a reward, and the payment of what is left."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers import VPOConfig
from trainers.evaluation import evaluation_metrics
from trainers.payment import Payment
from trainers.scored_batch import applicable
from trainers.set_metrics import set_metrics
from vpo.answers import AnswerFormat
from vpo.reward_values import RewardError, check_rewards
from vpo.rewards import VectorReward

GROUP, ANSWERS, DIM = 4, 3, 4

SETTINGS = {
    "vpo": {},
    "alpha by dimension": {"alpha": "1/d"},
    "sobol around w*": {"weighting_method": "sobol", "weighting_center": "w_star"},
    "lexicase": {"weighting": "lexicase"},
    "coverage, anchor, own credit": {
        "objective_options": {"coverage": 1.0, "anchor": 0.3},
        "answer_credit": "gain",
    },
    "chebyshev": {"objective_options": {"utility": "chebyshev"}},
    "hypervolume": {"objective_options": {"utility": "hypervolume"}},
    "sum": {"objective": "multi_rlvr"},
    "any": {"objective": "multi_rlvr", "objective_options": {"aggregation": "any"}},
    "max_at_k": {"objective": "max_at_k", "objective_options": {"k": 2}},
}


def payment(tmp_path, options) -> Payment:
    args = VPOConfig(
        str(tmp_path), use_cpu=True, bf16=False, report_to="none", per_device_train_batch_size=GROUP,
        num_generations=GROUP, num_answers=ANSWERS, **options,
    )  # fmt: skip
    return Payment(args)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kept", [[0], [1, 3], [0, 1, 2]])
def test_a_prompt_without_some_components_is_paid_as_if_they_had_never_been_there(name, kept, tmp_path):
    paying = payment(tmp_path, SETTINGS[name])
    generator = torch.Generator().manual_seed(len(kept))
    full = torch.rand(2 * GROUP, ANSWERS, DIM, generator=generator)
    mask = torch.rand(2 * GROUP, ANSWERS, generator=generator) > 0.2
    w_star = torch.tensor([0.1, 0.2, 0.3, 0.4])
    keys = torch.tensor([5] * GROUP + [9] * GROUP)
    holes = full.clone()
    holes[:GROUP] = math.nan  # the first prompt lacks all but `kept`
    holes[:GROUP, :, kept] = full[:GROUP][..., kept]
    rewards, applies = applicable(torch.where(mask.unsqueeze(-1), holes, 0.0), mask, GROUP)
    got = paying.pay(paying.groups(rewards, mask, keys, w_star, GROUP, step=3, applies=applies))

    shorter = paying.groups(full[:GROUP][..., kept], mask[:GROUP], keys[:GROUP], w_star[kept], GROUP, step=3)
    whole = paying.groups(full[GROUP:], mask[GROUP:], keys[GROUP:], w_star, GROUP, step=3)
    for part, alone in ((slice(0, GROUP), paying.pay(shorter)), (slice(GROUP, None), paying.pay(whole))):
        assert torch.allclose(got.scores[part], alone.scores, atol=1e-6)
        assert torch.allclose(got.advantages[part], alone.advantages, atol=1e-3)
        if got.answer_advantages is not None:
            assert torch.allclose(got.answer_advantages[part], alone.answer_advantages, atol=1e-3)


def test_a_prompt_to_which_nothing_applies_moves_nothing(tmp_path):
    rewards, mask = torch.full((GROUP, ANSWERS, 2), math.nan), torch.ones(GROUP, ANSWERS, dtype=torch.bool)
    mask[0] = False  # a completion without an answer must not be paid more or less than the others
    rewards, applies = applicable(torch.where(mask.unsqueeze(-1), rewards, 0.0), mask, GROUP)
    assert not applies.any()
    for options in SETTINGS.values():
        paying = payment(tmp_path, options)
        keys, w_star = torch.zeros(GROUP, dtype=torch.long), torch.ones(2)
        paid = paying.pay(paying.groups(rewards, mask, keys, w_star, GROUP, step=0, applies=applies))
        assert paid.advantages.eq(0).all()


def test_none_on_some_answers_of_a_prompt_counts_as_nothing_as_trl_sums_it():
    rewards = torch.tensor([[[1.0, math.nan]], [[1.0, 0.5]]])
    got, applies = applicable(rewards, torch.ones(2, 1, dtype=torch.bool), 2)
    assert applies is None
    assert got.tolist() == [[[1.0, 0.0]], [[1.0, 0.5]]]


def test_a_reward_function_may_return_none_for_a_reward_or_a_component():
    places = [(0, 1), (0, 2), (1, 1)]
    vectors, names = check_rewards([None, [1.0, None], [0.0, 2.0]], places, "tests", None)
    assert names == ("tests[0]", "tests[1]")
    assert [[math.isnan(v) for v in vector] for vector in vectors] == [[True, True], [False, True], [False, False]]
    vectors, names = check_rewards([None, {"a": 1, "b": None}, None], places, "tests", None)
    assert names == ("a", "b")
    assert check_rewards([None] * 3, places, "math", None)[1] == ("math",)
    with pytest.raises(RewardError, match="expected the components a, b"):
        check_rewards([None, [1.0], {"a": 1}], places, "tests", ("a", "b"))
    with pytest.raises(RewardError, match=r"answer 2 of completion 0 .*or None where the reward does not apply"):
        check_rewards([None, math.nan, 1.0], places, "math", None)


def test_trl_is_told_none_where_no_component_applies():
    fmt = AnswerFormat(2)
    text = "<answer_1>a</answer_1><answer_2>b</answer_2>"

    def by_task(completions, task, **kwargs):
        return [1.0 if t == "math" else None for t in task]

    def two(completions, **kwargs):
        return [2.0] * len(completions)

    rewards = VectorReward([by_task, two], fmt)
    columns = {"task": ["math", "code", "math"]}
    shown = [adapter(["p"] * 3, [text, text, "none"], **columns) for adapter in rewards.adapters]
    assert shown[0] == [1.0, None, 0.0]
    matrix, mask = rewards.collect()
    assert matrix[0].tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert matrix[1, :, 0].isnan().all()
    assert mask.tolist() == [[True, True], [True, True], [False, False]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_metrics_of_prompts_with_holes_are_those_of_the_components_that_they_have(seed):
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.rand(2 * GROUP, ANSWERS, DIM, generator=generator)
    mask = torch.rand(2 * GROUP, ANSWERS, generator=generator) > 0.3
    rewards = torch.where(mask.unsqueeze(-1), rewards, 0.0)
    applies = torch.tensor([[True, False, True, False], [True, True, True, True]])
    w_star = torch.rand(DIM, generator=generator)
    rewards[:GROUP, :, [1, 3]] = 0.0
    got = evaluation_metrics(rewards, mask, GROUP, w_star, applies)
    own = w_star[[0, 2]] * w_star.sum() / w_star[[0, 2]].sum()  # full marks are worth as much as on the other prompt
    first = evaluation_metrics(rewards[:GROUP][..., [0, 2]], mask[:GROUP], GROUP, own)
    second = evaluation_metrics(rewards[GROUP:], mask[GROUP:], GROUP, w_star)
    for name, value in got.items():
        assert value == pytest.approx((first[name] + second[name]) / 2, abs=1e-6)
    means = set_metrics(rewards, mask, GROUP, ["a", "b", "c", "d"], applies)
    own = rewards[GROUP:][mask[GROUP:]]
    if len(own):
        assert means["components/b/mean"] == pytest.approx(own[:, 1].mean().item(), abs=1e-6)


def test_an_evaluation_where_nothing_applies_logs_nothing():
    rewards, mask = torch.zeros(GROUP, ANSWERS, 2), torch.ones(GROUP, ANSWERS, dtype=torch.bool)
    assert evaluation_metrics(rewards, mask, GROUP, torch.ones(2), torch.zeros(1, 2, dtype=torch.bool)) == {}
