"""The looped policy: prelude, a shared core that runs as often as its depth policy says, coda.

Importing this package registers :class:`LoopedConfig` and the models with transformers' auto classes, so that
``AutoModelForCausalLM.from_pretrained(folder)`` works without ``trust_remote_code``.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from vpo.looped.backbone import LoopedModel
from vpo.looped.cache import LoopedCache, cache_bytes
from vpo.looped.config import LoopedConfig
from vpo.looped.depth import (
    ACT,
    Acceleration,
    DepthPolicy,
    DepthTrace,
    FixedDepth,
    FixedPoint,
    HaltReason,
    KLExit,
    LatentDifference,
    LearnedGate,
    RandomDepth,
    Replay,
)
from vpo.looped.model import LoopedForCausalLM
from vpo.looped.outputs import LoopedCausalLMOutput, LoopedOutput
from vpo.looped.pretrained import looped_policy

AutoConfig.register(LoopedConfig.model_type, LoopedConfig, exist_ok=True)
AutoModel.register(LoopedConfig, LoopedModel, exist_ok=True)
AutoModelForCausalLM.register(LoopedConfig, LoopedForCausalLM, exist_ok=True)

__all__ = [
    "ACT",
    "Acceleration",
    "DepthPolicy",
    "DepthTrace",
    "FixedDepth",
    "FixedPoint",
    "HaltReason",
    "KLExit",
    "LatentDifference",
    "LearnedGate",
    "LoopedCache",
    "LoopedCausalLMOutput",
    "LoopedConfig",
    "LoopedForCausalLM",
    "LoopedModel",
    "LoopedOutput",
    "RandomDepth",
    "Replay",
    "cache_bytes",
    "looped_policy",
]
