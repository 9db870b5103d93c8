"""Decoder layers of vLLM for the families that a looped policy may be made of."""

from __future__ import annotations

from typing import Any

from torch import nn
from vllm.config import VllmConfig
from vllm.model_executor.layers.attention import Attention


def decoder_layer(vllm_config: VllmConfig, config: Any, prefix: str) -> nn.Module:
    """One layer, called as ``layer(positions, hidden, residual)``.

    Args:
        vllm_config: Of the engine.
        config: ``layer_config`` of the looped policy.
        prefix: Its name; its number is the place of its keys and values.
    """
    if config.model_type == "llama":
        from vllm.model_executor.models.llama import LlamaDecoderLayer

        return LlamaDecoderLayer(vllm_config=vllm_config, prefix=prefix, config=config)
    if config.model_type == "qwen2":
        from vllm.model_executor.models.qwen2 import Qwen2DecoderLayer as Layer
    else:
        assert config.model_type == "qwen3"  # checks.py has seen to it
        from vllm.model_executor.models.qwen3 import Qwen3DecoderLayer as Layer
    return Layer(
        config=config, cache_config=vllm_config.cache_config, quant_config=vllm_config.quant_config, prefix=prefix
    )


def another_plane(attn: Attention, vllm_config: VllmConfig, prefix: str) -> Attention:
    """Attention like ``attn`` with a cache of its own, found under ``prefix``."""
    return Attention(
        attn.num_heads,
        attn.head_size,
        attn.impl.scale,
        num_kv_heads=attn.num_kv_heads,
        cache_config=vllm_config.cache_config,
        quant_config=vllm_config.quant_config,
        prefix=prefix,
    )
