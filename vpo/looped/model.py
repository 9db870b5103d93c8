"""A looped causal language model: the backbone and a head. Works with ``generate``, PEFT and TRL as any other.

Shape letters: B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache

from vpo.looped.backbone import LoopedModel
from vpo.looped.cache import LoopedCache
from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthPolicy, KLExit, from_dict
from vpo.looped.outputs import LoopedCausalLMOutput
from vpo.looped.pretrained import LoopedPreTrainedModel


class LoopedForCausalLM(LoopedPreTrainedModel, GenerationMixin):
    """A looped language model with a head.

    The depth of a call is, in this order: ``num_loops=`` or ``depth_policy=`` of the call (or of ``generate``); the
    ``depth_policy`` of the generation configuration, a policy or its dict; the model's own ``depth_policy``.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: LoopedConfig) -> None:
        super().__init__(config)
        self.model = LoopedModel(config)
        self._no_split_modules = self.model._no_split_modules
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @property
    def depth_policy(self) -> DepthPolicy:
        """The backbone's depth policy."""
        return self.model.depth_policy

    @depth_policy.setter
    def depth_policy(self, policy: DepthPolicy) -> None:
        self.model.depth_policy = policy

    def at_depth(self, policy: DepthPolicy) -> AbstractContextManager[None]:
        """Let ``policy`` decide within a ``with`` block; what is saved with the model does not change."""
        return self.model.at_depth(policy)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        num_loops: int | None = None,
        depth_policy: DepthPolicy | None = None,
        output_loop_states: bool = False,
        **kwargs: Any,
    ) -> LoopedCausalLMOutput:
        """Next-token logits (B, T or ``logits_to_keep``, V), and the loss when ``labels`` (B, T) are given.

        Other arguments as in :meth:`vpo.looped.backbone.LoopedModel.forward`.
        """
        policy = self.depth_policy if depth_policy is None and num_loops is None else depth_policy
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            num_loops=num_loops,
            depth_policy=depth_policy,
            output_loop_states=output_loop_states,
            head=self.lm_head if isinstance(policy, KLExit) else None,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        loops = {name: value for name, value in outputs.items() if name.startswith("loop_")}
        return LoopedCausalLMOutput(loss=loss, logits=logits, past_key_values=outputs.past_key_values, **loops)

    def _prepare_generation_config(self, generation_config: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Read the depth policy from the generation configuration, and hand it to every forward call."""
        configuration, model_kwargs = super()._prepare_generation_config(generation_config, **kwargs)
        policy = model_kwargs.pop("depth_policy", None) or getattr(configuration, "depth_policy", None)
        if policy is not None and model_kwargs.get("num_loops") is None:
            model_kwargs["depth_policy"] = from_dict(policy) if isinstance(policy, Mapping) else policy
        return configuration, model_kwargs

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        """Make a :class:`LoopedCache` where ``generate`` would make a plain one."""
        asked = generation_config.cache_implementation
        if asked not in (None, "dynamic"):
            raise ValueError(
                f"cache_implementation is {asked!r}: a looped model decodes with its own LoopedCache, which keeps one "
                "version of keys and values a loop. Leave cache_implementation out; config.cache_planes bounds the "
                "memory."
            )
        if generation_config.use_cache is not False and model_kwargs.get("past_key_values") is None:
            model_kwargs["past_key_values"] = LoopedCache(self.config)
            return
        super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)
