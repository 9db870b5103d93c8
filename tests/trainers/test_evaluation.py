"""What an evaluation logs: best of k by subsets, under w* and under random tastes."""

from __future__ import annotations

import itertools

import pytest
import torch

from eval.metrics import simplex_weightings
from trainers import VPOConfig, VPOTrainer
from trainers.evaluation import evaluation_metrics


def test_single_answers_equal_the_mean_over_all_subsets():
    generator = torch.Generator().manual_seed(0)
    rewards = torch.rand(2 * 4, 1, 3, generator=generator)
    rewards[0] = 1.0
    mask = torch.ones(8, 1, dtype=torch.bool)
    w_star = torch.tensor([0.5, 0.3, 0.2])
    got = evaluation_metrics(rewards, mask, 4, w_star)
    utilities = (rewards.squeeze(1) @ w_star).view(2, 4).tolist()
    tastes = torch.from_numpy(simplex_weightings(100, 3)).float()
    by_taste = (rewards.squeeze(1) @ tastes.T).view(2, 4, 100)
    assert sorted(got) == sorted(f"{name}{k}{end}" for name, end in NAMES for k in (1, 2, 4))
    for k in (1, 2, 4):
        subsets = list(itertools.combinations(range(4), k))
        best = [max(row[i] for i in subset) for row in utilities for subset in subsets]
        assert got[f"best@{k}"] == pytest.approx(sum(best) / len(best), abs=1e-6)
        expected = torch.stack([by_taste[:, list(subset)].amax(1) for subset in subsets]).mean().item()
        assert got[f"E_w[best@{k}]"] == pytest.approx(expected, abs=1e-6)
        solved = [float(p == 0 and 0 in subset) for p in range(2) for subset in subsets]
        assert got[f"pass@{k}"] == pytest.approx(sum(solved) / len(solved), abs=1e-6)


NAMES = [("best@", ""), ("E_w[best@", "]"), ("pass@", "")]


def test_a_missing_answer_is_worth_nothing_and_is_not_read():
    rewards = torch.tensor([[[0.6], [float("nan")]], [[float("nan")], [float("nan")]]])
    mask = torch.tensor([[True, False], [False, False]])
    got = evaluation_metrics(rewards, mask, 2, torch.ones(1))
    assert got["best@1"] == pytest.approx(0.3)
    assert got["best@4"] == pytest.approx(0.6)
    assert got["pass@4"] == 0.0
    assert [k for k in got if k.startswith("pass")] == ["pass@1", "pass@2", "pass@4"]


def test_an_evaluation_logs_them_and_training_does_not(make_policy, tokenizer, prompts, arguments):
    def length(completions, **kwargs):
        return [len(c.split()) / 12 for c in completions]

    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=length,
        args=VPOConfig(**arguments, num_generations_eval=2, per_device_eval_batch_size=4, num_answers=1),
        train_dataset=prompts,
        eval_dataset=prompts,
        processing_class=tokenizer,
    )
    metrics = trainer.evaluate()
    assert 0 <= metrics["eval_best@1"] <= metrics["eval_best@2"] <= 1
    assert metrics["eval_E_w[best@2]"] == pytest.approx(metrics["eval_best@2"], abs=1e-6)  # one component: one taste
    trainer.train()
    assert not any("best@" in key for entry in trainer.state.log_history if "loss" in entry for key in entry)


def test_an_evaluation_that_reads_no_answer_is_no_error(make_policy, tokenizer, prompts, arguments):
    def pair(completions, **kwargs):
        return [(1.0, 0.0) for _ in completions]

    settings = {**arguments, "num_answers": 2, "ask_for_answers": False, "max_completion_length": 2}
    trainer = VPOTrainer(
        model=make_policy(),
        reward_funcs=pair,
        args=VPOConfig(**settings, component_weights=[0.4, 0.6], num_generations_eval=2, per_device_eval_batch_size=4),
        train_dataset=prompts,
        eval_dataset=prompts,
        processing_class=tokenizer,
    )
    metrics = trainer.evaluate()  # two tokens hold no tagged answer: nobody knows that there are two components
    assert metrics["eval_set/answers"] == 0.0
    assert "eval_best@1" not in metrics
