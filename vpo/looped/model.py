"""A looped causal language model over ordinary transformers decoder layers.

``e = prelude(embed(x))``; ``z = e``; repeat R times: ``z = core(inject(z, e))``; ``logits = head(norm(coda(z)))``.

The loop lives in the backbone (:class:`LoopedModel`): since TRL 1.15 the training log-probabilities are computed from
``base_model(...)`` and the head's weight alone, so anything done in ``ForCausalLM.forward`` would be bypassed.
Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from vpo.looped.cache import PlaneView
from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthPolicy, FixedDepth
from vpo.looped.injection import INJECTIONS, GateInjection


class LoopedPreTrainedModel(PreTrainedModel):
    """What both models share with transformers."""

    config_class = LoopedConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, GateInjection):
            module.reset_parameters()


class LoopedModel(LoopedPreTrainedModel):
    """The backbone: embeddings, prelude, looped core, coda and final norm."""

    def __init__(self, config: LoopedConfig) -> None:
        super().__init__(config)
        # Take the parts of an ordinary backbone; its own forward, which runs every layer once, is not used.
        inner = AutoModel.from_config(config.layer_config)
        missing = [part for part in ("embed_tokens", "layers", "norm", "rotary_emb") if not hasattr(inner, part)]
        if missing:
            raise ValueError(
                f"{type(inner).__name__} has no {', '.join(missing)}: expected a decoder built like Llama or Qwen. "
                "Choose such a model_type for layer_config."
            )
        self.embed_tokens, self.norm, self.rotary_emb = inner.embed_tokens, inner.norm, inner.rotary_emb
        self.layers: nn.ModuleList = inner.layers
        self._no_split_modules = list(inner._no_split_modules or [])
        self.injection = INJECTIONS[config.injection](config.hidden_size, config.retention_init)
        self.positions = (
            nn.Embedding(config.learned_positions, config.hidden_size) if config.learned_positions else None
        )
        self._depth_policy: DepthPolicy = FixedDepth(config.num_loops)
        self.gradient_checkpointing = False
        self.post_init()

    @property
    def depth_policy(self) -> DepthPolicy:
        """Chooses the number of loops of every call that does not say ``num_loops``; a fixed one is saved."""
        return self._depth_policy

    @depth_policy.setter
    def depth_policy(self, policy: DepthPolicy) -> None:
        self._depth_policy = policy
        if isinstance(policy, FixedDepth):
            self.config.num_loops = policy.num_loops

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        num_loops: int | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run prelude, loops and coda.

        Args:
            input_ids: (B, T) tokens, or None if ``inputs_embeds`` are given.
            attention_mask: (B, past + T), 1 for real tokens; left padding does not change a row's result.
            position_ids: (B, T); by default counted over the real tokens of ``attention_mask``.
            past_key_values: Cache of earlier tokens; must have been filled with the same number of loops.
            inputs_embeds: (B, T, H) token embeddings instead of ``input_ids``.
            use_cache: Return a cache (default: ``config.use_cache`` outside training).
            num_loops: Loops for this call, instead of the model's depth policy.
            **kwargs: Passed to every decoder layer.

        Returns:
            ``last_hidden_state`` (B, T, H), already normed, and the cache.

        Raises:
            ValueError: Not exactly one of ``input_ids`` and ``inputs_embeds``; more positions than there are learned
                ones; a random depth together with a cache.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected exactly one of input_ids and inputs_embeds.")
        embeds = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        policy = self.depth_policy if num_loops is None else FixedDepth(num_loops)
        depths = policy.draw(embeds.shape[0], embeds.device)
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        if past_key_values is not None and depths is not None:
            raise ValueError(
                f"{policy} draws a depth for each call, so cached tokens would not fit: decode with num_loops=... or "
                "set model.depth_policy to a FixedDepth."
            )
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        if position_ids is None:
            if self.positions is not None and attention_mask is not None and attention_mask.ndim != 2:
                raise ValueError(
                    f"the attention mask has {attention_mask.ndim} dimensions, from which positions cannot be counted: "
                    "pass position_ids with it, or a (B, T) mask."
                )
            position_ids = _positions(attention_mask, past, embeds)
        signal = embeds if self.positions is None else embeds + self._position_embedding(self.positions, position_ids)
        context = {
            "attention_mask": create_causal_mask(
                config=self.config.layer_config,
                inputs_embeds=embeds,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                position_ids=position_ids,
            ),
            "position_ids": position_ids,
            "position_embeddings": self.rotary_emb(embeds, position_ids=position_ids),
            "use_cache": use_cache,
            **kwargs,
        }
        state = self._loop(signal, past_key_values, policy.max_loops, depths, context)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(state), past_key_values=past_key_values)

    def _loop(
        self, signal: Tensor, cache: Cache | None, max_loops: int, depths: Tensor | None, context: dict[str, Any]
    ) -> Tensor:
        """(B, T, H) embeddings -> (B, T, H) state after the coda. ``depths`` (B,) freezes a row after its last loop."""
        prelude, core = self.config.prelude_layers, self.config.core_layers
        core_end = prelude + core
        signal = _run(self.layers[:prelude], signal, cache, 0, context)
        state = signal
        for loop in range(max_loops):
            injected = state if loop == 0 else self.injection(state, signal)  # state == signal before the first loop
            shift = self.config.coda_layers + loop * core
            updated = _run(self.layers[prelude:core_end], injected, cache, shift, context)
            active = None if depths is None else (depths > loop)[:, None, None]
            state = updated if active is None else torch.where(active, updated, state)
        return _run(self.layers[core_end:], state, cache, -core, context)

    def _position_embedding(self, positions: nn.Embedding, position_ids: Tensor) -> Tensor:
        last = int(position_ids.max())
        if last >= self.config.learned_positions:
            raise ValueError(
                f"position {last} is past the {self.config.learned_positions} learned ones: shorten the prompt or "
                "max_completion_length, or build the model with more learned_positions."
            )
        return positions(position_ids)


class LoopedForCausalLM(LoopedPreTrainedModel, GenerationMixin):
    """A looped language model with a head; works with ``generate``, PEFT and TRL as any other causal LM."""

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
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Next-token logits (B, T or ``logits_to_keep``, vocabulary), and the loss when ``labels`` (B, T) are given."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            num_loops=num_loops,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=outputs.past_key_values)


def _run(
    layers: Iterable[nn.Module], hidden: Tensor, cache: Cache | None, shift: int, context: dict[str, Any]
) -> Tensor:
    view = None if cache is None else PlaneView(cache, shift)
    for layer in layers:
        hidden = layer(hidden, past_key_values=view, **context)
    return hidden


def _positions(attention_mask: Tensor | None, past: int, embeds: Tensor) -> Tensor:
    """(B, T) positions counted over real tokens, so that left padding shifts nothing."""
    length = embeds.shape[1]
    if attention_mask is not None and attention_mask.ndim == 2:
        return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
    return (torch.arange(length, device=embeds.device) + past).unsqueeze(0)
