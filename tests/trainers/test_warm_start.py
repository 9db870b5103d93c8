"""The supervised phase before reinforcement learning."""

from __future__ import annotations

import pytest
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig

from trainers.warm_start import WarmStartTrainer
from vpo.looped import FixedDepth, RandomDepth


@pytest.fixture
def supervised(arguments):
    kept = (
        "output_dir",
        "use_cpu",
        "bf16",
        "gradient_checkpointing",
        "report_to",
        "disable_tqdm",
        "save_strategy",
        "seed",
    )
    return SFTConfig(
        **{key: arguments[key] for key in kept}, max_steps=30, learning_rate=1e-2, max_length=None, logging_steps=1
    )


ROWS = Dataset.from_dict({"prompt": ["go red", "go blue"] * 8, "completion": ["red", "blue"] * 8})


def test_a_warm_start_learns_and_gives_the_depth_back(make_policy, tokenizer, supervised):
    policy = make_policy()
    trainer = WarmStartTrainer(
        model=policy, args=supervised, train_dataset=ROWS, processing_class=tokenizer, depth_policy=RandomDepth(1, 3)
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    assert policy.depth_policy == FixedDepth(2)


def test_the_depth_is_given_back_when_training_fails(make_policy, tokenizer, supervised):
    policy = make_policy()
    trainer = WarmStartTrainer(
        model=policy, args=supervised, train_dataset=ROWS, processing_class=tokenizer, depth_policy=RandomDepth(1, 3)
    )

    def fail(*args, **kwargs):
        assert policy.depth_policy == RandomDepth(1, 3)
        raise RuntimeError("stop here")

    trainer.training_step = fail
    with pytest.raises(RuntimeError, match="stop here"):
        trainer.train()
    assert policy.depth_policy == FixedDepth(2)


def test_a_depth_for_a_model_without_a_loop_is_refused(tokenizer, supervised):
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    plain = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2))
    with pytest.raises(ValueError, match="has no loop"):
        WarmStartTrainer(
            model=plain, args=supervised, train_dataset=ROWS, processing_class=tokenizer, depth_policy=RandomDepth(1, 2)
        )


def test_a_depth_reaches_the_policy_under_adapters(make_policy, tokenizer, supervised):
    from peft import LoraConfig

    policy = make_policy()
    trainer = WarmStartTrainer(
        model=policy,
        args=supervised,
        train_dataset=ROWS,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        depth_policy=RandomDepth(1, 3),
    )
    seen: set[int] = set()
    policy.model.register_forward_hook(lambda module, args, output: seen.update(output.loop_depths[:, 0].tolist()))
    trainer.train()
    assert seen == {1, 2, 3}
    assert policy.depth_policy == FixedDepth(2)
