"""Pretrained models of every family, small enough for a test."""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MixtralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from tests.smollm2 import smollm2_fixture  # noqa: F401

SIZES = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


FAMILIES = {
    "llama": (LlamaConfig, {}),
    "tied_llama": (LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 8}),
    "smollm3": (SmolLM3Config, {}),  # some layers without rotary positions
    "mixtral": (MixtralConfig, {"num_local_experts": 4}),
}


def source(family: str = "llama", seed: int = 0) -> PreTrainedModel:
    kind, options = FAMILIES[family]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(kind(**SIZES, **options)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:  # default init is so small that every layer is next to nothing
            torch.nn.init.normal_(parameter, std=0.3)
    return model
