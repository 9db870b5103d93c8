from __future__ import annotations

import pytest
import torch

from tests.trainers.depth_replay.lively import POLICIES, PROMPTS, blue, trainer_of
from trainers import VPOConfig, VPOTrainer
from trainers.depth_recorder import record_depths
from vpo.looped import KLExit


def test_a_rollout_function_cannot_tell_its_depths(lively_policy, tokenizer, arguments, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    policy = lively_policy()
    policy.depth_policy = POLICIES[0]
    with pytest.raises(ValueError, match=r"rollout_func with FixedPoint.*set a FixedDepth"):
        VPOTrainer(
            model=policy,
            reward_funcs=blue,
            args=VPOConfig(**arguments, num_answers=1, objective="grpo"),
            train_dataset=PROMPTS,
            processing_class=tokenizer,
            rollout_func=lambda prompts, trainer: {},
        )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"depth_training": "random"}, "expected 'replay', 'fixed', 'live' or 'sum'"),
        ({"depth_drift_rows": -1}, "or more"),
    ],
)
def test_settings_of_the_depth_are_checked(option, message, arguments):
    with pytest.raises(ValueError, match=message):
        VPOConfig(**arguments, **option)


def test_a_generation_whose_depths_cannot_be_told_is_refused(lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments, generation_kwargs={"guidance_scale": 1.5})
    with pytest.raises(RuntimeError, match=r"their depths cannot be told. Sample with plain `generate`"):
        trainer.train()
    assert trainer._sampled is None
    policy = lively_policy().eval()
    with record_depths(policy) as recorder:
        policy(torch.tensor([[4, 5, 6]]), depth_policy=POLICIES[0])
    recorder.result([[4, 5]], [[6, 7]], 2)
    for prompt, completion in (([4, 6], [6, 7]), ([4, 5], [7, 7]), ([4, 5], [6, 7, 8])):
        with pytest.raises(RuntimeError, match="cannot be told"):
            recorder.result([prompt], [completion], len(prompt))


def test_a_second_turn_in_one_batch_is_refused(lively_policy, tokenizer, arguments):
    trainer = trainer_of(lively_policy(), POLICIES[0], tokenizer, arguments)
    inner = type(trainer)._generate_single_turn

    def two_turns(*args):
        inner(trainer, *args)
        return inner(trainer, *args)

    trainer._generate_single_turn = two_turns
    with pytest.raises(RuntimeError, match="a second turn was generated"):
        trainer.train()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_vllm": True}, "KLExit.* in vLLM: expected a policy that decides about a token by its own states"),
        ({"use_vllm": True, "vllm_mode": "server"}, "vllm_mode='server' with a looped policy.*use_vllm=False"),
        ({"use_vllm": True, "vllm_tensor_parallel_size": 2}, "vllm_tensor_parallel_size above 1.*not tried"),
        ({"use_vllm": True, "vllm_model_impl": "transformers"}, "silently wrong.*Leave it at 'vllm'"),
        ({"use_transformers_continuous_batching": True}, "continuous_batching=True with a looped policy"),
        ({"depth_training": "live"}, "depth_training='live' with KLExit"),
    ],
)
def test_what_a_looped_policy_cannot_do_is_refused_before_anything_is_built(
    options, message, lively_policy, tokenizer, arguments, tmp_path
):
    policy = lively_policy()
    with pytest.raises(ValueError, match=message):
        trainer_of(policy, KLExit(0.3, cap=5), tokenizer, arguments, **options)
    if "depth_training" not in options:
        policy.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=message):
            VPOTrainer(str(tmp_path), blue, VPOConfig(**{**arguments, **options}), PROMPTS, processing_class=tokenizer)
