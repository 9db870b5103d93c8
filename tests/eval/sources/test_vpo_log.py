"""The log of a real VPO run, as its trainer writes it."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from transformers import LlamaConfig

from eval.rollouts import read_rollouts
from eval.sources import open_source, read_base
from trainers import VPOConfig, VPOTrainer
from vpo.looped import LoopedConfig, LoopedForCausalLM
from vpo.tasks.word_tokenizer import word_tokenizer
from vpo.weightings import prompt_key

WORDS = ["go", "red", "blue", *[f"<{slash}answer_{i}>" for i in (1, 2) for slash in ("", "/")]]
TEXTS = [
    "<answer_1> red </answer_1> <answer_2> blue blue </answer_2>",
    "red red",
    "<answer_1> blue </answer_1> <answer_2>",
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is
    tokenizer = word_tokenizer(WORDS)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    layers = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, pad_token_id=0, eos_token_id=2, **sizes)

    def scripted(prompts, trainer):
        rows = [[*tokenizer(TEXTS[i % 3])["input_ids"], 2] for i in range(len(prompts))]
        return {
            "prompt_ids": [tokenizer(p)["input_ids"] for p in prompts],
            "completion_ids": rows,
            "logprobs": [[0.0] * len(row) for row in rows],
        }

    def colour(completions, target, **kwargs):
        return [float(t in c) for c, t in zip(completions, target, strict=True)]

    def brevity(completions, **kwargs):
        return [1 / (1 + len(c.split())) for c in completions]

    args = VPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_steps=1,
        per_device_train_batch_size=6,
        num_generations=3,
        max_completion_length=16,
        max_steps=2,
        num_answers=2,
        ask_for_answers=False,
        reward_weights=[1.0, 1.0],
        seed=3,
    )
    VPOTrainer(
        model=LoopedForCausalLM(LoopedConfig(layer_config=layers, core_layers=1)),
        reward_funcs=[colour, brevity],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["go red", "go blue"], "target": ["red", "blue"]}),
        processing_class=tokenizer,
        rollout_func=scripted,
    ).train()
    return tmp_path


def test_a_real_run_reads_as_its_rows_do(run):
    source = open_source(run)
    steps = list(source.read())
    assert source.name == "VPO rollout log" and [each.step for each in steps] == [0, 1]
    for samples, (_, rows) in zip(steps, read_rollouts(run / "rollouts"), strict=True):
        expected = [
            (c, row["prompt"], row["prompt_id"], text, vector)
            for c, row in enumerate(rows)
            for text, vector in zip(row["answers"] or [row["completion"]], row["rewards"] or [[0.0, 0.0]], strict=True)
        ]
        found = zip(
            samples.completions.tolist(), samples.prompts, samples.prompt_ids, samples.texts,
            samples.rewards.tolist(), strict=True,
        )  # fmt: skip
        assert list(found) == expected
        assert samples.components == ("colour", "brevity")
        assert [row["target"] for row in samples.rows] == [prompt.split()[1] for prompt in samples.prompts]
        assert samples.prompt_ids == [f"{prompt_key(prompt):016x}" for prompt in samples.prompts]
        assert np.all(samples.tokens > 1)
    assert source.warnings[0].startswith("some completions hold no answer that could be read, 2 of 6 at step 0")
    assert len(read_base(run)) == sum(map(len, steps))
