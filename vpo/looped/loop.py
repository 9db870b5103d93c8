"""The loop: run the core until every token has stopped, whoever decides when.

``z_0 = e``; repeat: ``u = inject(z_t, e)`` (``u = e`` in the first pass), ``f = scale(core(u))``; the depth policy's
halter turns ``f`` into the next state of the tokens that loop on. A token that stops keeps its state and its keys and
values. All tokens of a pass move together, loop by loop, and each stops by itself: so one parallel pass over a sequence
computes what token-by-token decoding computes.

Shape letters: B sequences, T tokens of this pass, H width, V vocabulary; R, C as in :mod:`vpo.looped.active`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vpo.looped.active import Active, select
from vpo.looped.cache import LoopedCache
from vpo.looped.depth import DepthPolicy, DepthTrace, FixedDepth, Halter, HaltReason, LoopCall, LoopStep, Replay
from vpo.looped.layer_inputs import LayerInputs
from vpo.looped.lockstep import Lockstep
from vpo.looped.scale import rms
from vpo.looped.views import LoopView, Versions, run


@dataclass
class LoopParts:
    """What the loop is made of, handed over by the model at every call.

    Args:
        core: The shared layers.
        first_layer: Index of the first of them.
        inject: ``(state, signal) -> input`` of a pass.
        scale: ``(new, rms of the first pass or None) -> new``.
        gate: State -> logits (B, T) of the halting gate, or None.
        readout: ``(state, active, loop) -> logits`` (B, T, V) after so many loops, or None.
        checkpoint: ``checkpoint(function, *tensors)`` if a pass is to be recomputed in the backward pass, else None.
        attention: Name of the attention implementation.
        max_planes: Versions kept of keys and values; None for one a loop.
    """

    core: Sequence[nn.Module]
    first_layer: int
    inject: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[Tensor, Tensor | None], Tensor]
    gate: Callable[[Tensor], Tensor] | None
    readout: Callable[[Tensor, Tensor, int], Tensor] | None
    checkpoint: Callable[..., Any] | None
    attention: str
    max_planes: int | None


class Loop:
    """One forward pass through the loop.

    Args:
        parts: Layers and functions.
        signal: (B, T, H) output of the prelude.
        real: (B, T) bool, false for padding, which runs one loop.
        policy: Decides the depths.
        cache: Earlier tokens, or None.
        inputs: Mask, positions and the like of the layers.
    """

    def __init__(
        self,
        parts: LoopParts,
        signal: Tensor,
        real: Tensor,
        policy: DepthPolicy,
        cache: LoopedCache | None,
        inputs: LayerInputs,
    ) -> None:
        self.parts, self.signal, self.real, self.policy, self.inputs = parts, signal, real, policy, inputs
        batch, device = signal.shape[0], signal.device
        past = torch.zeros(batch, dtype=torch.long, device=device) if cache is None else cache.past_depth(batch, device)
        self.halter: Halter = policy.start(LoopCall(real, past))
        self.planes = None
        if cache is not None:
            self.planes = {parts.first_layer + i: cache.layers[parts.first_layer + i] for i in range(len(parts.core))}
        self.is_uniform = isinstance(policy, FixedDepth)
        # fp32 or wider between the passes: in bf16 a change of half a per cent is rounding.
        self.state = signal if signal.dtype == torch.float64 else signal.float()
        self.active = real
        self.depth = torch.ones_like(real, dtype=torch.int64)
        self.residual = torch.full(real.shape, torch.nan, device=device)
        self.reason = torch.full(real.shape, int(HaltReason.CAP), dtype=torch.int8, device=device)
        if self.planes is not None and self.is_uniform:
            for layer in self.planes.values():
                layer.expected_planes = min(policy.cap, parts.max_planes or policy.cap)
        self.passes = 0
        self._versions: Versions = {}
        self._first_rms: Tensor | None = None

    def run(self, lockstep: Lockstep, states: list[Tensor] | None = None) -> Tensor:
        """Loop every token to where the policy stops it.

        Args:
            lockstep: Keeps the number of passes equal on all processes where it must be.
            states: If given, the (B, T, H) state after each pass is appended.

        Returns:
            (B, T, H) final state, in the signal's type.
        """
        is_known = self.is_uniform or self.halter.planned is not None
        total = lockstep.most(self.policy.cap) if is_known else None
        index = 0
        while total is None or index < total:
            if total is None and lockstep.on and index and not lockstep.any(bool(self.active.any())):
                break
            chosen = self._choose(index, always=lockstep.on)
            if chosen is None:
                break
            self._pass(index, chosen)
            if states is not None:
                states.append(self.state)
            index += 1
        self.passes = index
        return self.state.to(self.signal.dtype)

    @property
    def trace(self) -> DepthTrace:
        """The record of the pass."""
        policy = self.policy
        decided = (policy.policy or policy) if isinstance(policy, Replay) else policy
        return DepthTrace(self.depth, self.residual, self.reason, self.halter.damping, decided)

    def _choose(self, index: int, always: bool) -> Active | None:
        if index == 0 or (self.is_uniform and index < self.policy.cap):
            return Active()
        if self.is_uniform:  # other processes loop on; without recorded versions nothing can be left out
            return Active(torch.zeros_like(self.active))
        return select(self.active, self.parts.attention, self.inputs.past, always)

    def _pass(self, index: int, chosen: Active) -> None:
        """Run the core once on the chosen tokens, and let the policy decide on them."""
        gradient_from = self.halter.gradient_from
        cut = None if gradient_from is None else gradient_from > index
        with torch.no_grad() if cut is not None and bool(cut.all()) else nullcontext():
            new = self.core_output(index, chosen, self.state)
        if self.is_uniform:
            self._record_uniform(index, new)
        else:
            residual = self.halter.measure(self.state, new)
            is_last = index + 1 == self.policy.cap
            step = LoopStep(index, self.state, new, self.active, is_last, self.parts.gate, self._readout(index))
            following, stop, reason = self.halter.advance(step, residual)
            self.state = following if index == 0 else torch.where(self.active.unsqueeze(-1), following, self.state)
            self._record(index, residual, stop, reason)
        if cut is not None:
            self.state = torch.where(cut.unsqueeze(-1), self.state.detach(), self.state)

    def core_output(self, index: int, chosen: Active, full: Tensor) -> Tensor:
        """One pass of injection, core and scale control.

        Args:
            index: Which pass; the first takes the state as it is, and its output's size is kept for the others.
            chosen: Tokens that are computed.
            full: (B, T, H) state before the pass.

        Returns:
            (B, T, H) output; tokens that are not chosen keep their state.
        """
        parts, shape = self.parts, (self.signal.shape[0], self.signal.shape[1])
        state = chosen.take(full)
        entering = state if index == 0 else parts.inject(state, chosen.take(self.signal).to(state.dtype))
        entering = entering.to(self.signal.dtype)
        inputs = self.inputs.of(chosen, shape, entering.dtype, parts.attention).keywords()
        new = self._layers(index, chosen, entering, inputs).to(full.dtype)
        if index == 0:
            scaled = parts.scale(new, None)
            self._first_rms = rms(scaled.detach())
        else:
            assert self._first_rms is not None
            scaled = parts.scale(new, chosen.take(self._first_rms))
        return chosen.put(full, scaled)

    def _layers(self, index: int, chosen: Active, entering: Tensor, inputs: dict[str, Any]) -> Tensor:
        parts, most = self.parts, self.parts.max_planes
        keeps_versions = not self.is_uniform or (most is not None and most < self.policy.cap)
        if self.planes is None and not keeps_versions:
            return run(parts.core, entering, None, inputs, parts.checkpoint)
        refresh = most is None or index < most
        plane = index if most is None else min(index, most - 1)
        if parts.checkpoint is None or self.planes is not None:
            view = LoopView(chosen, self._versions, self.planes, plane, refresh)
            hidden = run(parts.core, entering, view, inputs)
            self._versions = view.after
            return hidden

        names = list(self._versions)

        def segment(hidden: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            before = {name: (tensors[2 * i], tensors[2 * i + 1]) for i, name in enumerate(names)}
            view = LoopView(chosen, before, None, plane, refresh)
            hidden = run(parts.core, hidden, view, inputs)
            return hidden, *(t for layer in range(len(parts.core)) for t in view.after[parts.first_layer + layer])

        flat = [tensor for name in names for tensor in self._versions[name]]
        hidden, *after = parts.checkpoint(segment, entering, *flat)
        self._versions = {parts.first_layer + i: (after[2 * i], after[2 * i + 1]) for i in range(len(parts.core))}
        return hidden

    def _readout(self, index: int) -> Callable[[Tensor], Tensor] | None:
        readout, active = self.parts.readout, self.active
        return None if readout is None else lambda state: readout(state, active, index)

    def _record_uniform(self, index: int, new: Tensor) -> None:
        if index + 1 == self.policy.cap:
            self.depth = torch.where(self.real, self.policy.cap, 1)
            self.residual = self.halter.measure(self.state, new).float()
        self.state = new

    @torch.no_grad()
    def _record(self, index: int, residual: Tensor, stop: Tensor, reason: Tensor | HaltReason) -> None:
        ran = self.active if index else torch.ones_like(self.active)
        self.depth = torch.where(ran, index + 1, self.depth)
        self.residual = torch.where(ran, residual.float(), self.residual)
        self.reason = torch.where(stop, torch.as_tensor(reason, dtype=torch.int8, device=stop.device), self.reason)
        self.active = self.active & ~stop
