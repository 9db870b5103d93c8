"""The backbone of a looped model: embeddings, prelude, looped core, coda, final norm.

``e = prelude(embed(x))``; the loop of :mod:`vpo.looped.loop`; ``norm(coda(z))``. All of it over ordinary transformers
decoder layers. The loop lives here and not in the model with the head: since TRL 1.15 training log-probabilities are
computed from ``base_model(...)`` and the head's weight alone, so anything done elsewhere would be bypassed.

Shape letters: B sequences, T tokens, H width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel
from transformers.cache_utils import Cache
from transformers.utils import can_return_tuple

from vpo.looped.active import Active
from vpo.looped.cache import LoopedCache
from vpo.looped.config import LoopedConfig
from vpo.looped.depth import (
    ACT,
    DepthPolicy,
    FixedDepth,
    LearnedGate,
    RandomDepth,
    Replay,
    as_policy,
    from_dict,
    is_saved,
    to_dict,
)
from vpo.looped.graph import keep_in_graph
from vpo.looped.halt_gate import HaltGate
from vpo.looped.injection import INJECTIONS
from vpo.looped.layer_inputs import LayerInputs, real_tokens
from vpo.looped.lockstep import Lockstep
from vpo.looped.loop import Loop, LoopParts
from vpo.looped.outputs import LoopedOutput
from vpo.looped.positions import LearnedPositions
from vpo.looped.pretrained import LoopedPreTrainedModel
from vpo.looped.readout import Readout
from vpo.looped.scale import build_scale_control
from vpo.looped.views import LoopView, run


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
            LearnedPositions(config.learned_positions, config.hidden_size) if config.learned_positions else None
        )
        self._depth_policy: DepthPolicy = (
            from_dict(config.depth_policy) if config.depth_policy else FixedDepth(config.num_loops or 1)
        )
        self.gradient_checkpointing = False
        self.post_init()

    @property
    def depth_policy(self) -> DepthPolicy:
        """Decides the loops of every call that does not name a policy or ``num_loops``.

        A policy or its dict. Saved with the model, but for :class:`RandomDepth` and :class:`Replay`, which are for
        training, and for policies of your own.
        """
        return self._depth_policy

    @depth_policy.setter
    def depth_policy(self, value: DepthPolicy | Mapping[str, Any]) -> None:
        policy = as_policy(value)
        if isinstance(policy, (LearnedGate, ACT)) and self.halt_gate is None:
            raise ValueError(
                f"{policy} reads a halting gate, and the model has none: build it with LoopedConfig(halt_gate=True) "
                "and train the gate, or use FixedPoint, which needs no training."
            )
        self._depth_policy = policy
        if is_saved(policy):
            self.config.depth_policy, self.config.num_loops = to_dict(policy), policy.cap

    @contextmanager
    def at_depth(self, policy: DepthPolicy) -> Iterator[None]:
        """Let ``policy`` decide within the block; what is saved with the model does not change."""
        own, self._depth_policy = self._depth_policy, policy
        try:
            yield
        finally:
            self._depth_policy = own

    @property
    def core(self) -> nn.ModuleList:
        """The layers that are looped."""
        start = self.config.prelude_layers
        return self.layers[start : start + self.config.core_layers]

    def compile_core(self, **options: Any) -> None:
        """Compile the core's layers with ``torch.compile`` (options are its own); the loop around them stays Python."""
        for layer in self.core:
            layer.compile(**options)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        num_loops: int | None = None,
        depth_policy: DepthPolicy | Mapping[str, Any] | None = None,
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
            ``last_hidden_state`` (B, T, H), already normed, the cache, and the trace; a tuple if ``return_dict=False``.

        Raises:
            ValueError: Not exactly one of ``input_ids`` and ``inputs_embeds``; two ways to say the depth; a depth
                record of another shape; more positions than there are learned ones; a cache of another kind.
        """
        for unknown in ("output_hidden_states", "output_attentions"):
            if kwargs.pop(unknown, None):
                raise ValueError(
                    f"{unknown}=True is not supported: see output_loop_states for the state of every loop."
                )
        cache = self._cache(past_key_values, use_cache)
        if output_loop_states and cache is not None and cache.get_seq_length():
            raise ValueError(
                "output_loop_states=True with earlier tokens in the cache: their outputs after each loop are not kept. "
                "Pass the whole sequence, without a cache."
            )
        policy = self._policy(num_loops, depth_policy)
        loop, inputs = self.begin(
            input_ids, attention_mask, position_ids, cache, inputs_embeds, use_cache, policy, head, **kwargs
        )
        coda_start = self.config.prelude_layers + self.config.core_layers
        coda = list(self.layers)[coda_start:]  # a ModuleList's slice is a new module, too dear for each decoding step
        states: list[Tensor] | None = [] if output_loop_states else None
        state = loop.run(Lockstep.of(self.layers, loop.signal.device), states)
        if self.training and torch.is_grad_enabled():
            state = keep_in_graph(state, self._unused(loop))
        state = self._run_once(coda, state, cache, inputs, coda_start)
        trace = loop.trace
        if cache is not None:
            cache.commit(state.shape[1], trace)
        output = LoopedOutput(
            last_hidden_state=self.norm(state),
            past_key_values=cache,
            loop_depths=trace.depth,
            loop_residuals=trace.residual,
            loop_reasons=trace.reason,
            loop_damping=trace.damping,
            loop_remainders=getattr(loop.halter, "remainder", None),
            loop_policy=trace.policy,
        )
        if states is not None:
            each = (run(coda, s.to(state.dtype), None, inputs.keywords()) for s in states)
            output.loop_hidden_states = tuple(self.norm(hidden) for hidden in each)
            if self.halt_gate is not None:
                output.loop_gate_logits = tuple(self._gate_logits(s) for s in states)
        return output

    def begin(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: LoopedCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        policy: DepthPolicy | None = None,
        head: Callable[[Tensor], Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[Loop, LayerInputs]:
        """Everything of :meth:`forward` before the loop; diagnostics take it from here.

        Returns:
            The loop, not yet run, and what the layers are called with.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected exactly one of input_ids and inputs_embeds.")
        embeds = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        needs_positions = self.positions is not None
        inputs = LayerInputs.prepare(
            self.config.layer_config, self.rotary_emb, embeds, attention_mask, position_ids, cache, needs_positions
        )
        inputs.others = {"use_cache": use_cache, **kwargs}
        prelude, coda_start = self.config.prelude_layers, self.config.prelude_layers + self.config.core_layers
        signal = embeds if self.positions is None else embeds + self.positions(inputs.position_ids)
        signal = self._run_once(list(self.layers)[:prelude], signal, cache, inputs, 0)
        readout = None
        if head is not None:
            readout = Readout(list(self.layers)[coda_start:], coda_start, self.norm, head, cache, inputs, embeds.dtype)
        real = real_tokens(attention_mask, embeds)
        return Loop(self._parts(readout), signal, real, policy or self.depth_policy, cache, inputs), inputs

    def _policy(self, num_loops: int | None, depth_policy: DepthPolicy | Mapping[str, Any] | None) -> DepthPolicy:
        if num_loops is not None and depth_policy is not None:
            raise ValueError(f"num_loops={num_loops} and depth_policy={depth_policy}: expected one of them.")
        if num_loops is not None:
            return FixedDepth(num_loops)
        policy = self.depth_policy if depth_policy is None else as_policy(depth_policy)
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
                "looped model needs one a loop. Pass vpo.looped.LoopedCache(model.config), or none: the first call "
                "makes one. In generate, leave cache_implementation out."
            )
        if use_cache is None:
            use_cache = bool(self.config.use_cache) and not self.training
        return LoopedCache(self.config) if given is None and use_cache else given

    def _parts(self, readout: Readout | None) -> LoopParts:
        checkpointing = self.gradient_checkpointing and self.training and torch.is_grad_enabled()
        return LoopParts(
            core=list(self.layers)[self.config.prelude_layers :][: self.config.core_layers],
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
        return self.halt_gate(state.to(self.halt_gate.weight.dtype)).squeeze(-1).to(state.dtype)

    def _run_once(
        self, layers: Sequence[nn.Module], hidden: Tensor, cache: LoopedCache | None, inputs: LayerInputs, first: int
    ) -> Tensor:
        planes = {first + i: cache.layers[first + i] for i in range(len(layers))} if cache is not None else None
        view = None if planes is None else LoopView(Active(), {}, planes)
        return run(layers, hidden, view, inputs.keywords())

    def _unused(self, loop: Loop) -> list[nn.Parameter]:
        """Parameters that this pass had no use for: one-loop tokens do not inject, and few policies ask the gate."""
        unused = [] if loop.passes > 1 else [*self.injection.parameters()]
        return unused if self.halt_gate is None else [*unused, *self.halt_gate.parameters()]
