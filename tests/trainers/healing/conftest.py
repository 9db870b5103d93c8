from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.trainers.healing.rows import KEPT, ROWS
from trainers import HealingConfig, HealingTrainer
from vpo.looped import LoopedForCausalLM
from vpo.looped.convert import convert


@pytest.fixture
def source(tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def student(source) -> LoopedForCausalLM:
    return convert(source, 1, 2, 1, retention_init=0.5)


@pytest.fixture
def settings(arguments):
    def make(**options) -> HealingConfig:
        kept = {key: arguments[key] for key in KEPT}
        defaults = {"max_length": None, "logging_steps": 1, "learning_rate": 1e-2, "max_steps": 4, "cap": 3}
        return HealingConfig(**(kept | defaults | options))

    return make


@pytest.fixture
def heal(source, student, settings, tokenizer):
    def make(model=None, teacher=None, **options) -> HealingTrainer:
        return HealingTrainer(
            model=student if model is None else model,
            teacher=source if teacher is None else teacher,
            args=settings(**options),
            train_dataset=ROWS,
            processing_class=tokenizer,
        )

    return make
