"""Scale control: what keeps the size of the state from growing with the number of loops.

A pre-norm core adds to the residual stream at every pass, so without it the state grows about linearly in the loops
(norms of 1e4 are reported: 2606.24898), which a readout through RMSNorm cannot even see. Retention in (0, 1) is one
control; the other variants of injection need one of these.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ScaleControl(nn.Module):
    """Leave the state as it is: the injection's retention bounds it."""

    def forward(self, new: Tensor, first: Tensor | None) -> Tensor:
        """Scale a pass's output.

        Args:
            new: (B, T, H) output of the core.
            first: (B, T, 1) root mean square of the first pass's output, None in the first pass.

        Returns:
            (B, T, H).
        """
        return new


class MatchScale(ScaleControl):
    """Give every pass the root mean square of the first one, token by token; one loop is left untouched."""

    def forward(self, new: Tensor, first: Tensor | None) -> Tensor:
        """Scale ``new`` (B, T, H) to ``first`` (B, T, 1)."""
        return new if first is None else new * (first / (rms(new) + 1e-8))


class LoopNorm(ScaleControl):
    """A learned RMSNorm after every pass, fed back into the next (Ouro, 2510.25741; Huginn's sandwich norms)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def reset_parameters(self) -> None:
        """Unit weights."""
        nn.init.ones_(self.weight)

    def forward(self, new: Tensor, first: Tensor | None) -> Tensor:
        """Normalise ``new`` (B, T, H)."""
        return new / (rms(new) + 1e-6) * self.weight.to(new.dtype)


def rms(state: Tensor) -> Tensor:
    """(B, T, H) -> (B, T, 1) root mean square over channels."""
    return state.square().mean(-1, keepdim=True).sqrt()


def build_scale_control(kind: str, hidden_size: int) -> ScaleControl:
    """The control named ``kind``: ``"none"``, ``"match"`` or ``"norm"``."""
    return {"none": ScaleControl, "match": MatchScale}[kind]() if kind != "norm" else LoopNorm(hidden_size)
