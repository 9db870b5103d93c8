"""What TRL's trainer does with a batch after it is paid for holds for sets of answers too: split, reused, adapted."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM

from trainers import VPOConfig, VPOTrainer

TEXTS = [
    "<answer_1> red </answer_1> <answer_2> blue blue blue </answer_2>",
    "<answer_1> red red red red </answer_1> now <answer_2> one </answer_2>",
    "red",
    "go <answer_1> two two </answer_1> <answer_2> green </answer_2>",
    "<answer_1> one red two </answer_1>",
]


@pytest.fixture(autouse=True)
def _silence_experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


def length_and_red(completions, **kwargs):
    return [(len(c.split()) / 10, float("red" in c)) for c in completions]


@pytest.fixture
def train(tokenizer, prompts, arguments):
    def run(peft_config=None, **options):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        batches = []

        def scripted(asked, trainer):
            rows = [TEXTS[(len(batches) + 3 * i) % len(TEXTS)] for i in range(len(asked))]
            batches.append(trainer.state.global_step)
            ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in rows]
            prompt_ids = [tokenizer(p)["input_ids"] for p in asked]
            return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": [[0.0] * len(row) for row in ids]}

        args = VPOConfig(
            **{**arguments, "num_answers": 2, "ask_for_answers": False, "max_steps": 4, **options},
        )
        trainer = VPOTrainer(
            model=LlamaForCausalLM(config),
            reward_funcs=length_and_red,
            args=args,
            train_dataset=prompts,
            processing_class=tokenizer,
            rollout_func=scripted,
            peft_config=peft_config,
        )
        before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
        trainer.train()
        return trainer, before, batches

    return run


@pytest.mark.parametrize("credit", ["set", "to_go"])
@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_accumulated_gradients_are_those_of_the_whole_batch(train, credit, loss_type):
    """The same generation batch in one piece and in two; answers' own advantages travel with their completions."""
    results = []
    for pieces in (1, 2):
        trainer, before, _ = train(
            answer_credit=credit,
            loss_type=loss_type,
            per_device_train_batch_size=8 // pieces,
            gradient_accumulation_steps=pieces,
            optim="sgd",  # Adam would enlarge a difference in rounding
            learning_rate=0.5,
        )
        results.append({name: p.detach() for name, p in trainer.model.named_parameters()})
        assert any((results[-1][name] != before[name]).any() for name in before)
    for name, value in results[0].items():
        assert torch.allclose(value, results[1][name], atol=1e-5), name


def test_a_batch_serves_several_updates(train):
    _, _, batches = train(num_iterations=2, answer_credit="gain")
    assert batches == [0, 2]


def test_an_adapter_is_trained_and_nothing_else(train):
    adapter = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer, before, _ = train(peft_config=adapter, answer_credit="to_go", beta=0.1)  # the reference: no adapter
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p.detach(), before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
