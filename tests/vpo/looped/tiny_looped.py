"""Tiny looped models of several families, and the policies that every law must hold for."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from vpo.looped import (
    ACT,
    Acceleration,
    FixedDepth,
    FixedPoint,
    KLExit,
    LatentDifference,
    LearnedGate,
    LoopedConfig,
    LoopedForCausalLM,
)

SIZES = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
INJECTIONS = ("gate", "diagonal", "concat", "add", "none")
ADAPTIVE = {
    "fixed_point": FixedPoint(tol=0.3, cap=6, patience=2),
    "damped": FixedPoint(tol=0.15, cap=6, patience=1, damping=0.6),
    "prefix": FixedPoint(tol=0.3, cap=6, norm="max", scope="prefix"),
    "gate": LearnedGate(0.6, cap=6),
    "sigmoid": LearnedGate(0.5, cap=6, min_loops=2, rule="sigmoid"),
    "act": ACT(cap=5),
    "kl": KLExit(0.01, cap=5),
    "latent": LatentDifference(0.6, cap=6),
    "acceleration": Acceleration(0.9, cap=6, hits=1),
}
POLICIES = {**ADAPTIVE, "fixed": FixedDepth(3)}


def build(family: str = "llama", seed: int = 0, attention: str = "sdpa", **options) -> LoopedForCausalLM:
    torch.manual_seed(seed)
    sizes = {k: v for k, v in SIZES.items() if k != "head_dim" or family != "qwen2"}
    layers = FAMILIES[family](**sizes, attn_implementation=attention)
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, **options)).eval()
    for parameter in model.parameters():  # default init is so small that every loop looks alike
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def tokens(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(seed))


def pad_left(row: torch.Tensor, pads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, T) tokens and mask -> (1, pads + T)."""
    padding = torch.zeros(1, pads, dtype=torch.long)
    return torch.cat([padding, row], 1), torch.cat([padding, torch.ones_like(row)], 1)
