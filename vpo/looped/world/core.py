"""The looped core of one environment step: prelude, a loop that runs as often as its depth policy says, coda.

LoopWM (arXiv 2606.18208, section 3), for environment step k:

* signal ``e = norm(prelude([h_(k-1); observation; action]))``;
* loop ``u = inject(h, e)``, ``h <- u + R(u)``; with the diagonal injection ``u = A h + (1 - A) B e``, A in (0, 1);
* ``h`` starts from the previous environment step's last state (the dual loop), from 0 at the first step;
* output ``norm(coda(C h))``, C starting as the identity.

Departures: their ``Rbar(h, e)`` sees ``u``, which holds both, as in this package's looped policy; the gain of ``e`` is
the zero-order hold ``1 - A``; ``h`` starts from 0 and not from noise, so that a rollout is a function of its input.

Depth policies see the state of an environment step as one token of width C * H.

Shape letters: B sequences, C cells, H width.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpo.looped.depth import DepthPolicy, HaltReason, LoopCall, LoopStep
from vpo.looped.halt_gate import HaltGate
from vpo.looped.injection import INJECTIONS
from vpo.looped.world.block import Block
from vpo.looped.world.config import WorldModelConfig


@dataclass
class CoreOutput:
    """One environment step.

    Args:
        state: (B, C, H) state after the last loop, for the next step.
        output: (B, C, H) output of the coda.
        depth: (B,) loops run, int64; 1 for padding.
        residual: (B,) relative change of the state in the last loop; NaN if the depth was prescribed.
        reason: (B,) int8, a :class:`~vpo.looped.depth.HaltReason`.
        states: (B, C, H) state after each loop, if asked for.
    """

    state: Tensor
    output: Tensor
    depth: Tensor
    residual: Tensor
    reason: Tensor
    states: list[Tensor]


class LoopedCore(nn.Module):
    """Prelude, loop and coda.

    Args:
        config: Of the model.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        width, shape = config.hidden_size, config.observation_shape
        grid = None if len(shape) == 1 else (shape[1], shape[2])

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(Block(width, config.inner_size or 2 * width, grid) for _ in range(count))

        self.join = nn.Linear(3 * width, width)
        self.prelude = blocks(config.prelude_layers)
        self.signal_norm = nn.LayerNorm(width, bias=False)
        self.injection = INJECTIONS[config.injection](width, config.retention_init)
        self.layers = blocks(config.core_layers)
        self.readout = nn.Linear(width, width, bias=False)  # C
        self.coda = blocks(config.coda_layers)
        self.output_norm = nn.LayerNorm(width, bias=False)
        self.halt_gate = HaltGate(width)

    def signal(self, state: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """What every loop of the step is fed, e.

        Args:
            state: (B, C, H) of the step before.
            observation: (B, C, H), encoded.
            action: (B, H), embedded.
        """
        signal = self.join(torch.cat([state, observation, action.unsqueeze(1).expand_as(observation)], dim=-1))
        for block in self.prelude:
            signal = block(signal)
        return self.signal_norm(signal)

    def loop(self, state: Tensor, signal: Tensor) -> Tensor:
        """One pass: the next state from the state and the signal, all (B, C, H)."""
        return self._layers(self.injection(state, signal))

    def _layers(self, state: Tensor) -> Tensor:
        for block in self.layers:
            state = block(state)
        return state

    def read(self, state: Tensor) -> Tensor:
        """What the heads read, from the state after any loop; both (B, C, H)."""
        output = self.readout(state)
        for block in self.coda:
            output = block(output)
        return self.output_norm(output)

    def gate_input(self, state: Tensor) -> Tensor:
        """(B, C, H) state -> (B, H), what the halting gate reads: the mean over cells, at unit scale.

        As it is the state is tens of units long; a gate that is taught on it saturates within a few updates.
        """
        return F.layer_norm(state.mean(1), state.shape[-1:])

    def gate(self, state: Tensor) -> Tensor:
        """(B, C, H) state -> (B,) logits of stopping."""
        return self.halt_gate(self.gate_input(state)).squeeze(-1)

    def forward(
        self,
        state: Tensor,
        observation: Tensor,
        action: Tensor,
        real: Tensor,
        policy: DepthPolicy,
        keep_states: bool = False,
    ) -> CoreOutput:
        """Run one environment step.

        Args:
            state: (B, C, H) of the step before.
            observation: (B, C, H), encoded.
            action: (B, H), embedded.
            real: (B,) bool, false for padding, which runs one loop.
            policy: Decides the depths.
            keep_states: Keep the state after each loop.
        """
        signal = self.signal(state, observation, action)
        kept = self.injection.retention
        # What enters a loop besides the retained state is the same in all loops of the step.
        inflow = signal if kept is None else self.injection(torch.zeros_like(state), signal)
        batch, cells = real.shape[0], signal.shape[1]
        halter = policy.start(LoopCall(real.unsqueeze(1), torch.zeros_like(real, dtype=torch.int64)))
        start = halter.gradient_from
        active, depth = real, torch.ones_like(real, dtype=torch.int64)
        residual = torch.full((batch,), torch.nan, device=real.device)
        reason = torch.full((batch,), int(HaltReason.CAP), dtype=torch.int8, device=real.device)
        states: list[Tensor] = []
        unmeasured = residual.unsqueeze(1)

        def gate(flat: Tensor) -> Tensor:
            return self.gate(flat.view(batch, cells, -1)).unsqueeze(1)

        for index in range(policy.cap):
            ran = active if index else torch.ones_like(active)
            cut = None if start is None else (start > index).view(-1, 1, 1)
            with torch.no_grad() if cut is not None and bool(cut.all()) else nullcontext():
                new = self._pass(state, inflow, kept, ran)
            old_flat, new_flat = state.reshape(batch, 1, -1), new.reshape(batch, 1, -1)
            # Nobody reads the residual of a depth that was drawn, and measuring costs a tenth of the training time.
            change = unmeasured if halter.planned is not None else halter.measure(old_flat, new_flat)
            step = LoopStep(index, old_flat, new_flat, active.unsqueeze(1), index + 1 == policy.cap, gate, None)
            following, stop, why = halter.advance(step, change)
            state = torch.where(ran.view(-1, 1, 1), following.reshape_as(state), state)
            if cut is not None:
                state = torch.where(cut, state.detach(), state)
            with torch.no_grad():
                stopped = stop.squeeze(1)
                depth = torch.where(ran, index + 1, depth)
                residual = torch.where(ran, change.squeeze(1).float(), residual)
                why = torch.as_tensor(why, dtype=torch.int8, device=real.device).expand_as(stop).squeeze(1)
                reason = torch.where(stopped, why, reason)
                active = active & ~stopped
            if keep_states:
                states.append(state)
            if not keep_states and not bool(active.any()):
                break
        return CoreOutput(state, self.read(state), depth, residual, reason, states)

    def _pass(self, state: Tensor, inflow: Tensor, kept: Tensor | None, ran: Tensor) -> Tensor:
        """The loop on the sequences ``ran`` (B,); the others keep their state."""
        rows = None if bool(ran.all()) else ran.nonzero().squeeze(1)
        if rows is not None and not len(rows):
            return state
        old, enters = (state, inflow) if rows is None else (state[rows], inflow[rows])
        new = self.loop(old, enters) if kept is None else self._layers(torch.addcmul(enters, kept.to(old.dtype), old))
        return new if rows is None else state.index_copy(0, rows, new)
