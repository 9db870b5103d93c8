"""Policies that it trains, looped ones above all, and those that it refuses."""

from __future__ import annotations

import pytest
import torch

from tests.trainers.vpo_trainer.scripted import hits_reward, length_reward
from trainers import VPOConfig, VPOTrainer
from vpo.looped import FixedDepth, RandomDepth, looped_policy


def test_a_policy_whose_forward_changes_the_logits_is_refused(make_policy, tokenizer, prompts, arguments):
    policy = make_policy()
    kind = type(policy)

    class Scaled(kind):
        def forward(self, *args, **kwargs):
            out = super().forward(*args, **kwargs)
            out.logits = out.logits * 5
            return out

    policy.__class__ = Scaled
    torch.nn.init.normal_(policy.lm_head.weight)
    with pytest.raises(ValueError, match="training log-probabilities differ from the model's own by"):
        VPOTrainer(
            model=policy,
            reward_funcs=length_reward,
            args=VPOConfig(**arguments),
            train_dataset=prompts,
            processing_class=tokenizer,
        )


def test_gradient_checkpointing_and_the_reference_model_work_with_a_looped_policy(
    make_policy, tokenizer, prompts, arguments, tmp_path
):
    make_policy().save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    args = VPOConfig(**{**arguments, "gradient_checkpointing": True}, beta=0.01, num_answers=1)
    trainer = VPOTrainer(
        model=str(tmp_path / "start"), reward_funcs=[length_reward, hits_reward], args=args, train_dataset=prompts
    )
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    assert trainer.state.log_history[0]["kl"] >= 0
    unchanged = [name for name, p in trainer.model.named_parameters() if torch.equal(p, before[name])]
    assert unchanged == []


def lora():
    from peft import LoraConfig

    return LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


def test_a_looped_policy_is_found_under_adapters(make_policy, tokenizer, prompts, arguments):
    policy = make_policy()
    policy.depth_policy = RandomDepth(1, 3)
    trainer = VPOTrainer(
        model=policy,
        reward_funcs=length_reward,
        args=VPOConfig(**arguments, num_answers=1),
        train_dataset=prompts,
        processing_class=tokenizer,
        peft_config=lora(),
    )
    trainer.train()
    assert looped_policy(trainer.model) is policy
    assert 1 < trainer.state.log_history[0]["loops/mean_depth"] < 3  # drawn, recorded, and trained at
    assert trainer.state.log_history[0]["sampling/replay_logp_diff/max"] < 1e-4


def test_the_reference_model_runs_at_the_policys_depth(make_policy, tokenizer, prompts, arguments, tmp_path):
    make_policy().save_pretrained(tmp_path / "start")
    policy = type(make_policy()).from_pretrained(tmp_path / "start")
    policy.depth_policy = FixedDepth(4)
    trainer = VPOTrainer(
        model=policy,
        reward_funcs=length_reward,
        args=VPOConfig(**arguments, num_answers=1, beta=0.1),
        train_dataset=prompts,
        processing_class=tokenizer,
    )
    assert trainer.ref_model.depth_policy == FixedDepth(4)
    trainer.train()
    assert abs(trainer.state.log_history[0]["kl"]) < 1e-6  # the first step compares equal weights at equal depths
