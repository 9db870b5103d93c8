"""The loop over one step of vLLM: all tokens of all sequences side by side, each stopping by itself.

The same rules as :mod:`vpo.looped.loop`, whose depth policies decide here too. Nothing is packed: a pass computes all
tokens of the step, stopped ones for nothing, until none is left; the numbers are those of the other loop.

Shape letters: N tokens of a step, H width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vpo.looped.depth import DepthPolicy, DepthTrace, FixedDepth, HaltReason, LoopCall, LoopStep
from vpo.looped.scale import rms


@dataclass
class StepParts:
    """What the loop is made of.

    Args:
        core: ``(input (N, H), index, active (N,) or None) -> output (N, H)``, one pass of the shared layers.
        inject: ``(state, signal) -> input`` of a pass, (1, N, H) each.
        scale: ``(new, rms of the first pass or None) -> new``.
        gate: State (1, N, H) -> logits (1, N) of the halting gate, or None.
        may_end_early: Whether the passes may end with the last active token.
    """

    core: Callable[[Tensor, int, Tensor | None], Tensor]
    inject: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[Tensor, Tensor | None], Tensor]
    gate: Callable[[Tensor], Tensor] | None
    may_end_early: bool


@torch.no_grad()
def run_loop(parts: StepParts, signal: Tensor, policy: DepthPolicy) -> tuple[Tensor, DepthTrace, int]:
    """Loop every token to where the policy stops it.

    Args:
        parts: Layers and functions.
        signal: (N, H) output of the prelude.
        policy: Decides the depths.

    Returns:
        (N, H) final state in the signal's type, the (1, N) record, and the number of passes that were run.
    """
    wide = signal.float().unsqueeze(0)
    real = torch.ones(wide.shape[:2], dtype=torch.bool, device=signal.device)
    is_fixed = isinstance(policy, FixedDepth)
    halter = policy.start(LoopCall(real, torch.zeros(1, dtype=torch.long, device=signal.device)))
    state, active = wide, real
    depth = torch.ones_like(real, dtype=torch.int64)
    residual = torch.full(real.shape, torch.nan, device=signal.device)
    reason = torch.full(real.shape, int(HaltReason.CAP), dtype=torch.int8, device=signal.device)
    first: Tensor | None = None
    passes = 0
    for index in range(policy.cap):
        if index and parts.may_end_early and not is_fixed and not bool(active.any()):
            break
        is_partial = index > 0 and not is_fixed
        entering = state if index == 0 else parts.inject(state, wide)
        packed = parts.core(entering.squeeze(0).to(signal.dtype), index, active.squeeze(0) if is_partial else None)
        new = parts.scale(packed.float().unsqueeze(0), first)
        if first is None:
            first = rms(new)
        passes = index + 1
        if is_fixed:
            if passes == policy.cap:
                depth, residual = torch.full_like(depth, policy.cap), halter.measure(state, new)
            state = new
            continue
        if is_partial:
            new = torch.where(active.unsqueeze(-1), new, state)
        change = halter.measure(state, new)
        step = LoopStep(index, state, new, active, passes == policy.cap, parts.gate, None)
        following, stop, why = halter.advance(step, change)
        state = torch.where(active.unsqueeze(-1), following, state)
        depth = torch.where(active, passes, depth)
        residual = torch.where(active, change.float(), residual)
        reason = torch.where(stop, torch.as_tensor(why, dtype=torch.int8, device=stop.device), reason)
        active = active & ~stop
    return state.squeeze(0).to(signal.dtype), DepthTrace(depth, residual, reason, halter.damping, policy), passes
