"""The real loop around cores whose behaviour is known: linear maps on the state, no attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vpo.looped.depth import DepthPolicy, DepthTrace
from vpo.looped.layer_inputs import LayerInputs
from vpo.looped.lockstep import Lockstep
from vpo.looped.loop import Loop, LoopParts


class Core(nn.Module):
    def __init__(self, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.step = step

    def forward(self, hidden: Tensor, past_key_values=None, **kwargs) -> Tensor:
        nothing = hidden[:, None, :, :1] * 0  # the loop freezes keys and values, so there must be some
        if past_key_values is not None:
            past_key_values.update(nothing, nothing, 0)
        return self.step(hidden)


def solve(
    step: Callable[[Tensor], Tensor], start: Tensor, policy: DepthPolicy, real: Tensor | None = None
) -> tuple[Tensor, DepthTrace]:
    """Loop ``z <- step(z)`` from ``start`` (B, T, H) under ``policy``; ``step`` always sees all tokens."""
    batch, length, _ = start.shape
    parts = LoopParts(
        core=nn.ModuleList([Core(step)]),
        first_layer=0,
        inject=lambda state, signal: state,
        scale=lambda new, first: new,
        gate=None,
        readout=None,
        checkpoint=None,
        attention="unpacked",
        max_planes=None,
    )
    positions = torch.arange(length)[None]
    rotary = (torch.zeros(1, length, 2), torch.zeros(1, length, 2))
    real = torch.ones(batch, length, dtype=torch.bool) if real is None else real
    loop = Loop(parts, start, real, policy, None, LayerInputs(None, positions, rotary, 0, {}))
    with torch.no_grad():
        state = loop.run(Lockstep(False, start.device))
    return state, loop.trace
