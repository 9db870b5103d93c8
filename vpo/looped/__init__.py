"""The looped policy: prelude, a shared core that runs several times, coda.

Importing this package registers :class:`LoopedConfig` and the models with transformers' auto classes, so that
``AutoModelForCausalLM.from_pretrained(folder)`` works without ``trust_remote_code``.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthPolicy, FixedDepth, RandomDepth, looped_policy
from vpo.looped.model import LoopedForCausalLM, LoopedModel

AutoConfig.register(LoopedConfig.model_type, LoopedConfig, exist_ok=True)
AutoModel.register(LoopedConfig, LoopedModel, exist_ok=True)
AutoModelForCausalLM.register(LoopedConfig, LoopedForCausalLM, exist_ok=True)

__all__ = [
    "DepthPolicy",
    "FixedDepth",
    "LoopedConfig",
    "LoopedForCausalLM",
    "LoopedModel",
    "RandomDepth",
    "looped_policy",
]
