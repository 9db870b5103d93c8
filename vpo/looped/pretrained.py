"""What the looped models share with transformers, and how to find one inside a wrapper."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from vpo.looped.config import LoopedConfig
from vpo.looped.halt_gate import HaltGate
from vpo.looped.injection import Injection
from vpo.looped.scale import LoopNorm


class LoopedPreTrainedModel(PreTrainedModel):
    """Base class of the backbone and the model with the head."""

    config_class = LoopedConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def _set_gradient_checkpointing(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers, but that the loop checkpoints the core's layers itself.

        A layer that does so throws its cache away, which is where the keys and values of stopped tokens are.
        """
        super()._set_gradient_checkpointing(*args, **kwargs)
        backbone: Any = getattr(self, self.base_model_prefix, self)
        for module in backbone.core.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.gradient_checkpointing = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (Injection, LoopNorm, HaltGate)):
            module.reset_parameters()


def looped_policy(model: Any) -> Any | None:
    """The looped model inside ``model``, which may be wrapped by PEFT; None if there is none.

    PEFT forwards the reading of attributes to the model it wraps, but not their setting: a depth policy set on the
    wrapper would have no effect.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base if hasattr(base, "depth_policy") else None
