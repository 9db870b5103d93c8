"""A looped causal language model: the backbone and a head. Works with ``generate``, PEFT and TRL as any other.

Shape letters: B sequences, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache
from transformers.utils import can_return_tuple

from vpo.looped.backbone import LoopedModel
from vpo.looped.cache import LoopedCache
from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthPolicy, KLExit, as_policy
from vpo.looped.outputs import LoopedCausalLMOutput
from vpo.looped.pretrained import LoopedPreTrainedModel


class LoopedForCausalLM(LoopedPreTrainedModel, GenerationMixin):
    """A looped language model with a head.

    The depth of a call is, in this order: ``num_loops=`` or ``depth_policy=`` of the call (or of ``generate``);
    ``num_loops`` or ``depth_policy`` of the generation configuration, there as a dict, which JSON can hold; the model's
    own ``depth_policy``.
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
    def depth_policy(self, policy: DepthPolicy | Mapping[str, Any]) -> None:
        self.model.depth_policy = policy

    def at_depth(self, policy: DepthPolicy) -> AbstractContextManager[None]:
        """Let ``policy`` decide within a ``with`` block; what is saved with the model does not change."""
        return self.model.at_depth(policy)

    @can_return_tuple
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
        depth_policy: DepthPolicy | Mapping[str, Any] | None = None,
        output_loop_states: bool = False,
        **kwargs: Any,
    ) -> LoopedCausalLMOutput:
        """Next-token logits (B, T or ``logits_to_keep``, V), and the loss when ``labels`` (B, T) are given.

        Other arguments as in :meth:`vpo.looped.backbone.LoopedModel.forward`.
        """
        depth_policy = None if depth_policy is None else as_policy(depth_policy)
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
        asked = {name: kwargs[name] for name in ("num_loops", "depth_policy") if kwargs.get(name) is not None}
        if len(asked) == 2:
            raise ValueError(f"generate got {asked}: expected one of them.")
        configuration, model_kwargs = super()._prepare_generation_config(generation_config, **kwargs)
        model_kwargs.update(asked)  # a configuration that has the attribute would have kept it
        if model_kwargs.get("num_loops") is None and model_kwargs.get("depth_policy") is None:
            for name in ("num_loops", "depth_policy"):
                if getattr(configuration, name, None) is not None:
                    model_kwargs[name] = getattr(configuration, name)
        if model_kwargs.get("depth_policy") is not None:
            model_kwargs["depth_policy"] = as_policy(model_kwargs["depth_policy"])
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
            cache = model_kwargs["past_key_values"] = LoopedCache(self.config)
            if (ends := getattr(generation_config, "_eos_token_tensor", None)) is not None:
                cache.end_ids = ends
            return
        super()._prepare_cache_for_generation(generation_config, model_kwargs, *args, **kwargs)

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """As in transformers; sequences that have ended get one loop a step, whatever the others need."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(input_ids, **kwargs)
        cache, mask = kwargs.get("past_key_values"), inputs.get("attention_mask")
        if not isinstance(cache, LoopedCache) or cache.end_ids is None or mask is None or mask.ndim != 2:
            return inputs  # nothing ends, or there is no way to say so
        if not cache.get_seq_length():
            cache.prompt_length = input_ids.shape[1]
        generated = input_ids[:, cache.prompt_length : -1]
        if generated.shape[1] and mask.shape[1] == cache.get_seq_length() + 1:  # one new token a sequence
            ended = torch.isin(generated, cache.end_ids.to(generated.device)).any(1)
            inputs["attention_mask"] = mask.clone()
            inputs["attention_mask"][:, -1] &= ~ended  # what is generated now is padding, which halts at once
        return inputs
