"""The backbone of a looped model: embeddings, prelude, looped core, coda, final norm.

``e = prelude(embed(x))``; the loop of :mod:`vpo.looped.loop`; ``norm(coda(z))``. All of it over ordinary transformers
decoder layers. The loop lives here and not in the model with the head: since TRL 1.15 training log-probabilities are
computed from ``base_model(...)`` and the head's weight alone, so anything done elsewhere would be bypassed.

Shape letters: B sequences, T tokens, H width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast

from vpo.looped.active import Active, LayerInputs
from vpo.looped.cache import LoopedCache
from vpo.looped.config import LoopedConfig
from vpo.looped.depth import (
    ACT,
    DepthPolicy,
    DepthTrace,
    FixedDepth,
    LearnedGate,
    RandomDepth,
    Replay,
    from_dict,
    to_dict,
)
from vpo.looped.injection import INJECTIONS, Injection
from vpo.looped.lockstep import Lockstep
from vpo.looped.loop import Loop, LoopParts
from vpo.looped.readout import Readout
from vpo.looped.scale import LoopNorm, build_scale_control
from vpo.looped.views import LoopView, run


@dataclass
class LoopedOutput(BaseModelOutputWithPast):
    """Output of the backbone.

    Args:
        loop_depths: (B, T) loops of each token.
        loop_residuals: (B, T) relative change of the state in each token's last loop.
        loop_reasons: (B, T) int8, a :class:`~vpo.looped.depth.HaltReason`.
        loop_damping: (B, T) int64, record of step-size reductions.
        loop_remainders: (B, T) what ACT had left for the last loop, with gradient; None under other policies.
        loop_hidden_states: Normed output (B, T, H) of coda and norm after each loop, if ``output_loop_states``.
        loop_gate_logits: (B, T) gate logits after each loop, if ``output_loop_states`` and there is a gate.
    """

    loop_depths: Tensor | None = None
    loop_residuals: Tensor | None = None
    loop_reasons: Tensor | None = None
    loop_damping: Tensor | None = None
    loop_remainders: Tensor | None = None
    loop_hidden_states: tuple[Tensor, ...] | None = None
    loop_gate_logits: tuple[Tensor, ...] | None = None

    @property
    def trace(self) -> DepthTrace:
        """The four per-token records in one."""
        return DepthTrace(self.loop_depths, self.loop_residuals, self.loop_reasons, self.loop_damping)  # type: ignore[arg-type]


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
        if isinstance(module, (Injection, LoopNorm, HaltGate)):
            module.reset_parameters()


class HaltGate(nn.Linear):
    """One linear unit on the state; starts reluctant to stop, as learned halting collapses to few loops otherwise."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, 1)

    def reset_parameters(self) -> None:
        """No preference among states, and a halting probability of 0.12 a loop."""
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, -2.0)


class LoopedModel(LoopedPreTrainedModel):
    """The backbone."""

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
        self.scale = build_scale_control(config.scale_control or "none", config.hidden_size)
        self.halt_gate = HaltGate(config.hidden_size) if config.halt_gate else None
        self.positions = (
            nn.Embedding(config.learned_positions, config.hidden_size) if config.learned_positions else None
        )
        self._depth_policy: DepthPolicy = (
            from_dict(config.depth_policy) if config.depth_policy else FixedDepth(config.num_loops)
        )
        self.gradient_checkpointing = False
        self.post_init()

    @property
    def depth_policy(self) -> DepthPolicy:
        """Decides the loops of every call that does not name a policy or ``num_loops``.

        Saved with the model, but for the two that are for training only (:class:`RandomDepth`, :class:`Replay`).
        """
        return self._depth_policy

    @depth_policy.setter
    def depth_policy(self, policy: DepthPolicy) -> None:
        if isinstance(policy, (LearnedGate, ACT)) and self.halt_gate is None:
            raise ValueError(
                f"{policy} reads a halting gate, and the model has none: build it with LoopedConfig(halt_gate=True) and "
                "train the gate, or use FixedPoint, which needs no training."
            )
        self._depth_policy = policy
        if not isinstance(policy, (RandomDepth, Replay)):
            self.config.depth_policy, self.config.num_loops = to_dict(policy), policy.cap

    @property
    def core(self) -> nn.ModuleList:
        """The layers that are looped."""
        start = self.config.prelude_layers
        return self.layers[start : start + self.config.core_layers]

    def compile_core(self, **options: Any) -> None:
        """Compile the core's layers with ``torch.compile`` (options are its own); the loop around them stays Python."""
        for layer in self.core:
            layer.compile(**options)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        num_loops: int | None = None,
        depth_policy: DepthPolicy | None = None,
        output_loop_states: bool = False,
        head: Callable[[Tensor], Tensor] | None = None,
        **kwargs: Any,
    ) -> LoopedOutput:
        """Run prelude, loops and coda.

        Args:
            input_ids: (B, T) tokens, or None if ``inputs_embeds`` are given.
            attention_mask: (B, past + T), 1 for real tokens; left padding does not change a row's result.
            position_ids: (B, T); by default counted over the real tokens of ``attention_mask``.
            past_key_values: A :class:`LoopedCache` with the earlier tokens, whatever their depths.
            inputs_embeds: (B, T, H) token embeddings instead of ``input_ids``.
            use_cache: Return a cache (default: ``config.use_cache`` outside training).
            num_loops: Short for ``depth_policy=FixedDepth(num_loops)``.
            depth_policy: Who decides the loops of this call, instead of the model's own policy.
            output_loop_states: Also return the outputs after every loop, each (B, T, H).
            head: (B, T, H) -> (B, T, V), for policies that look at the output; the model with the head passes its own.
            **kwargs: Passed to every decoder layer.

        Returns:
            ``last_hidden_state`` (B, T, H), already normed, the cache, and the trace.

        Raises:
            ValueError: Not exactly one of ``input_ids`` and ``inputs_embeds``; two ways to say the depth; a depth record
                of another shape; more positions than there are learned ones; a cache of another kind.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected exactly one of input_ids and inputs_embeds.")
        embeds = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        policy = self._policy(num_loops, depth_policy)
        cache = self._cache(past_key_values, use_cache)
        inputs = self._layer_inputs(embeds, attention_mask, position_ids, cache, use_cache, kwargs)
        signal = embeds if self.positions is None else embeds + self._position_embedding(inputs.position_ids)
        real = _real_tokens(attention_mask, embeds)
        prelude, coda_start = self.config.prelude_layers, self.config.prelude_layers + self.config.core_layers
        coda = self.layers[coda_start:]
        signal = self._run_once(self.layers[:prelude], signal, cache, inputs, 0)
        readout = Readout(coda, coda_start, self.norm, head, cache, inputs) if head is not None else None
        loop = Loop(self._parts(readout), signal, real, policy, cache, inputs)
        states: list[Tensor] | None = [] if output_loop_states else None
        state = loop.run(Lockstep.of(self.layers, signal.device), states)
        state = self._touch_unused(state, loop)
        state = self._run_once(coda, state, cache, inputs, coda_start)
        trace = loop.trace
        if cache is not None:
            cache.commit(embeds.shape[1], trace)
        output = LoopedOutput(
            last_hidden_state=self.norm(state),
            past_key_values=cache,
            loop_depths=trace.depth,
            loop_residuals=trace.residual,
            loop_reasons=trace.reason,
            loop_damping=trace.damping,
            loop_remainders=getattr(loop.halter, "remainder", None),
        )
        if states is not None:
            each = (run(coda, s.to(signal.dtype), None, inputs.keywords()) for s in states)
            output.loop_hidden_states = tuple(self.norm(hidden) for hidden in each)
            if self.halt_gate is not None:
                output.loop_gate_logits = tuple(self._gate_logits(s) for s in states)
        return output

    def _policy(self, num_loops: int | None, depth_policy: DepthPolicy | None) -> DepthPolicy:
        if num_loops is not None and depth_policy is not None:
            raise ValueError(f"num_loops={num_loops} and depth_policy={depth_policy}: expected one of them.")
        if num_loops is not None:
            return FixedDepth(num_loops)
        policy = self.depth_policy if depth_policy is None else depth_policy
        if (
            isinstance(policy, Replay)
            and policy.policy is None
            and not isinstance(self.depth_policy, (RandomDepth, Replay))
        ):
            return Replay(policy.depths, policy.damping, self.depth_policy)
        return policy

    def _cache(self, given: Cache | None, use_cache: bool | None) -> LoopedCache | None:
        if given is not None and not isinstance(given, LoopedCache):
            raise ValueError(
                f"past_key_values is a {type(given).__name__}, which keeps one version of keys and values a layer; a "
                "looped model needs one a loop. Pass vpo.looped.LoopedCache(model.config), or none: the first call makes "
                "one. In generate, leave cache_implementation out."
            )
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        return LoopedCache(self.config) if given is None and use_cache else given

    def _layer_inputs(
        self,
        embeds: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: LoopedCache | None,
        use_cache: bool | None,
        others: dict[str, Any],
    ) -> LayerInputs:
        past = cache.get_seq_length() if cache is not None else 0
        if position_ids is None:
            if self.positions is not None and attention_mask is not None and attention_mask.ndim != 2:
                raise ValueError(
                    f"the attention mask has {attention_mask.ndim} dimensions, from which positions cannot be counted: "
                    "pass position_ids with it, or a (B, T) mask."
                )
            position_ids = _positions(attention_mask, past, embeds)
        mask = create_causal_mask(
            config=self.config.layer_config,
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            past_key_values=cache,
            position_ids=position_ids,
        )
        rotary = self.rotary_emb(embeds, position_ids=position_ids)
        return LayerInputs(mask, position_ids, rotary, past, {"use_cache": use_cache, **others})

    def _parts(self, readout: Readout | None) -> LoopParts:
        checkpointing = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        return LoopParts(
            core=self.core,
            first_layer=self.config.prelude_layers,
            inject=self.injection,
            scale=self.scale,
            gate=None if self.halt_gate is None else self._gate_logits,
            readout=readout,
            checkpoint=self._gradient_checkpointing_func if checkpointing else None,
            attention=self.config.layer_config._attn_implementation,
            max_planes=self.config.cache_planes,
        )

    def _gate_logits(self, state: Tensor) -> Tensor:
        assert self.halt_gate is not None
        return self.halt_gate(state.to(self.halt_gate.weight.dtype)).squeeze(-1).float()

    def _run_once(
        self, layers: nn.ModuleList, hidden: Tensor, cache: LoopedCache | None, inputs: LayerInputs, first: int
    ) -> Tensor:
        planes = {first + i: cache.layers[first + i] for i in range(len(layers))} if cache is not None else None
        view = None if planes is None else LoopView(Active(), {}, planes)
        return run(layers, hidden, view, inputs.keywords())

    def _touch_unused(self, state: Tensor, loop: Loop) -> Tensor:
        """Tie parameters that this pass had no use for to the output, with weight 0.

        A batch of one-loop tokens does not inject, and most policies do not ask the gate; under DDP every parameter must
        have a gradient on every process all the same.
        """
        if not (self.training and torch.is_grad_enabled()):
            return state
        unused = [] if int(loop.depth.max()) > 1 else [*self.injection.parameters()]
        if self.halt_gate is not None:
            unused += self.halt_gate.parameters()
        for parameter in unused:
            if parameter.requires_grad:
                state = state + 0.0 * parameter.sum().to(state.dtype)
        return state

    def _position_embedding(self, position_ids: Tensor) -> Tensor:
        assert self.positions is not None
        last = int(position_ids.max())
        if last >= self.config.learned_positions:
            raise ValueError(
                f"position {last} is past the {self.config.learned_positions} learned ones: shorten the prompt or "
                "max_completion_length, or build the model with more learned_positions."
            )
        return self.positions(position_ids)


def looped_policy(model: Any) -> Any | None:
    """The looped model inside ``model``, which may be wrapped by PEFT; None if there is none.

    PEFT forwards the reading of attributes to the model it wraps, but not their setting: a depth policy set on the
    wrapper would have no effect.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base if hasattr(base, "depth_policy") else None


def _real_tokens(attention_mask: Tensor | None, embeds: Tensor) -> Tensor:
    """(B, T) bool; what a mask of more than two dimensions says of padding is not known."""
    batch, length = embeds.shape[:2]
    if attention_mask is not None and attention_mask.ndim == 2:
        return attention_mask[:, -length:].bool()
    return torch.ones(batch, length, dtype=torch.bool, device=embeds.device)


def _positions(attention_mask: Tensor | None, past: int, embeds: Tensor) -> Tensor:
    """(B, T) positions counted over real tokens, so that left padding shifts nothing."""
    length = embeds.shape[1]
    if attention_mask is not None and attention_mask.ndim == 2:
        return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
    return (torch.arange(length, device=embeds.device) + past).unsqueeze(0)
