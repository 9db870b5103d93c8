"""A looped policy of a few thousand parameters with a word-level tokenizer, and arguments for quick CPU runs."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig

from vpo.looped import LoopedConfig, LoopedForCausalLM
from vpo.tasks.word_tokenizer import word_tokenizer

WORDS = ["go", "now", "red", "blue", "green", "one", "two", *[f"<{s}answer_{i}>" for i in (1, 2, 3) for s in ("", "/")]]


@pytest.fixture
def tokenizer():
    return word_tokenizer(WORDS)


@pytest.fixture
def make_policy(tokenizer):
    def make(seed: int = 0, **options) -> LoopedForCausalLM:
        torch.manual_seed(seed)
        layers = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
        config = LoopedConfig(layer_config=layers, core_layers=1, num_loops=2, **options)
        return LoopedForCausalLM(config)

    return make


@pytest.fixture
def prompts():
    return Dataset.from_dict(
        {"prompt": ["go red", "go blue", "now green", "now one"], "target": ["red", "blue", "green", "one"]}
    )


@pytest.fixture
def arguments(tmp_path):
    return {
        "output_dir": str(tmp_path / "run"),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 12,
        "max_steps": 2,
        "seed": 3,
    }
