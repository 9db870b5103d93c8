"""Settings and rewards that make no sense."""

from __future__ import annotations

import pytest
import torch

from tests.trainers.vpo_trainer.scripted import length_reward
from trainers import VPOConfig, VPOTrainer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "ppo"}, "expected one of"),
        ({"objective": "grpo"}, "set num_answers=1"),
        ({"num_weightings": 0}, "num_weightings is 0"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"num_answers": 0}, "num_answers"),
        ({"expected_processes": 2}, "torchrun --nproc_per_node 2"),
        ({"objective": "multi_rlvr", "objective_options": {"aggregation": "mean"}}, "aggregation is 'mean'"),
        ({"objective_options": "max"}, "expected a JSON object"),
        ({"objective_options": {"k": 3}}, "does not take the options"),
        ({"multi_objective_aggregation": "normalize_then_sum"}, "the objective decides here"),
        ({"alpha": "2*d"}, r"alpha is '2\*d'"),
        ({"weighting": "gaussian"}, "weighting is 'gaussian'"),
        ({"weighting_method": "grid"}, "method is 'grid'"),
        ({"weighting_center": "corner"}, "weighting_center is 'corner'"),
        ({"weighting_method": "exact", "objective": "multi_rlvr"}, "integrates linear utilities over a Dirichlet"),
        ({"weighting_method": "exact", "weighting": "corners"}, "integrates linear utilities over a Dirichlet"),
        ({"diversity": "entropy"}, "diversity is 'entropy'"),
        ({"diversity_options": {"beta": 0.1}}, "without a diversity"),
        ({"diversity": "darling", "objective": "gdpo", "num_answers": 1}, "not taken from them"),
        ({"answer_credit": "own"}, "answer_credit is 'own'"),
        ({"answer_credit": "to_go", "diversity": "darling"}, "would not reach the tokens of answers"),
        ({"answer_credit": "shapley", "num_answers": 11}, "expected at most 10"),
        ({"objective_options": {"utility": "hypervolume"}, "num_answers": 13}, "expected at most 12"),
        ({"objective": "max_at_k", "objective_options": {"k": 5}}, "num_generations is 4"),
        ({"answer_credit": "marginal", "objective": "max_at_k"}, "divides a set's pay"),
        ({"answer_credit": "marginal", "num_answers": 1}, "divides a set's pay"),
        ({"answer_credit": "marginal", "answer_credit_share": 1.5}, "answer_credit_share is 1.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, message, arguments):
    with pytest.raises((ValueError, TypeError), match=message):
        VPOConfig(**arguments, **options)


def test_what_is_no_reward_and_tools_are_refused_with_a_way_out(make_policy, tokenizer, prompts, arguments):
    with pytest.raises(TypeError, match="expected a sequence classifier, or a function"):
        VPOTrainer(model=make_policy(), reward_funcs=torch.nn.Linear(2, 2), args=VPOConfig(**arguments))
    with pytest.raises(TypeError, match="tools and environments are not supported"):
        VPOTrainer(model=make_policy(), reward_funcs=length_reward, args=VPOConfig(**arguments), tools=[print])
