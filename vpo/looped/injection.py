"""Re-injection: how the prelude output ``e`` enters the state ``z`` before each pass of the core.

One interface, ``inject(z, e) -> u``; the retention (the share of ``z`` that is kept) always lies in (0, 1), so that the
recurrence forgets geometrically and its scale stays bounded (FPRM, arXiv 2606.18206, Thm 1; Parcae, arXiv 2604.12946).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class GateInjection(nn.Module):
    """Convex gate ``u = e + g * (z - e)``, ``g = sigmoid(logit)`` per channel.

    With ``z = e`` at the first loop, one loop is exactly the unlooped stack whatever ``g``; with ``g -> 0`` every loop
    count is. That makes it the safe choice for converting a pretrained model.
    """

    def __init__(self, hidden_size: int, retention_init: float) -> None:
        super().__init__()
        self.retention_init = retention_init
        self.logit = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start every channel at ``retention_init``."""
        nn.init.constant_(self.logit, math.log(self.retention_init / (1.0 - self.retention_init)))

    @property
    def retention(self) -> Tensor:
        """(hidden_size,) share of the state kept by one re-injection, in (0, 1)."""
        return torch.sigmoid(self.logit)

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Blend the state (B, T, H) with the injected signal (B, T, H)."""
        return torch.lerp(signal, state, self.retention.to(state.dtype))


INJECTIONS: dict[str, type[GateInjection]] = {"gate": GateInjection}
