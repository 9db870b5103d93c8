"""Re-injection: how the prelude output ``e`` enters the state ``z`` before each pass of the core but the first.

One interface, ``inject(z, e) -> u``. The first pass always starts from ``u = e`` itself, so one loop is exactly the
unlooped stack under every variant. What keeps the recurrence from drifting is the *retention*, the share of ``z`` that
one injection keeps: in (0, 1) it forgets geometrically (FPRM, arXiv 2606.18206, Thm 1; Parcae, 2604.12946). It bounds
the linear part only; what the core adds on top is not bounded by it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Injection(nn.Module):
    """Common interface.

    Args:
        hidden_size: H.
        retention_init: Share of the state that one injection keeps before training, in (0, 1).
    """

    def __init__(self, hidden_size: int, retention_init: float) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.retention_init = retention_init

    def reset_parameters(self) -> None:
        """Go back to the state before training."""

    @property
    def retention(self) -> Tensor | None:
        """(H,) share of the state kept by one injection, or None if the variant does not bound it."""
        return None

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Join the state (B, T, H) and the signal (B, T, H)."""
        raise NotImplementedError


class GateInjection(Injection):
    """Convex gate ``u = e + g * (z - e)``, ``g = sigmoid(logit)`` per channel; the default.

    With ``g -> 0`` every loop count is exactly the unlooped stack, which makes it the safe choice for converting a
    pretrained model.
    """

    def __init__(self, hidden_size: int, retention_init: float) -> None:
        super().__init__(hidden_size, retention_init)
        self.logit = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start every channel at ``retention_init``."""
        nn.init.constant_(self.logit, math.log(self.retention_init / (1.0 - self.retention_init)))

    @property
    def retention(self) -> Tensor:
        """(H,) share of the state kept by one injection, in (0, 1)."""
        return _below_one(torch.sigmoid(_wide(self.logit)))

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Blend the state (B, T, H) with the injected signal (B, T, H)."""
        return torch.lerp(signal, state, self.retention.to(state.dtype))


class DiagonalInjection(Injection):
    """Diagonal retention ``u = A * z + (1 - A) * B e`` with ``A = exp(-dt * exp(a))`` in (0, 1), ``B`` free.

    LoopWM (2606.18208) and Parcae (2604.12946); the gain ``1 - A`` is the exact zero-order hold, which keeps the scale
    of ``e`` at any retention where their Euler gain ``dt`` does not. ``B`` starts as the identity.
    """

    def __init__(self, hidden_size: int, retention_init: float) -> None:
        super().__init__(hidden_size, retention_init)
        self.log_rate = nn.Parameter(torch.empty(hidden_size))  # a
        self.raw_step = nn.Parameter(torch.empty(hidden_size))  # dt = softplus(raw_step)
        self.input = nn.Parameter(torch.empty(hidden_size, hidden_size))  # B
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start every channel at ``retention_init``, with rate 1 and ``B`` the identity."""
        nn.init.zeros_(self.log_rate)
        step = -math.log(self.retention_init)
        nn.init.constant_(self.raw_step, math.log(math.expm1(step)))
        nn.init.eye_(self.input)

    @property
    def retention(self) -> Tensor:
        """(H,) share of the state kept by one injection, in (0, 1)."""
        return _below_one(torch.exp(-nn.functional.softplus(_wide(self.raw_step)) * torch.exp(_wide(self.log_rate))))

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Decay the state (B, T, H) and add the signal (B, T, H) through ``B``."""
        kept = self.retention.to(state.dtype)
        return kept * state + (1 - kept) * nn.functional.linear(signal, self.input.to(signal.dtype))


class ConcatInjection(Injection):
    """Adapter ``u = W [z; e]`` (Huginn, 2502.05171); ``W`` starts as ``[0 | I]``, so every loop count starts alike."""

    def __init__(self, hidden_size: int, retention_init: float) -> None:
        super().__init__(hidden_size, retention_init)
        self.adapter = nn.Parameter(torch.empty(hidden_size, 2 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Ignore the state and pass the signal."""
        with torch.no_grad():
            self.adapter.zero_()
            self.adapter[:, self.hidden_size :].fill_diagonal_(1.0)

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Map the state and the signal, both (B, T, H), to (B, T, H)."""
        return nn.functional.linear(torch.cat([state, signal], dim=-1), self.adapter.to(state.dtype))


class AddInjection(Injection):
    """``u = z + e``; grows with every loop unless the scale is controlled."""

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Add the signal (B, T, H) to the state (B, T, H)."""
        return state + signal


class NoInjection(Injection):
    """``u = z``: the loop sees its input once, at the start (Ouro, 2510.25741)."""

    def forward(self, state: Tensor, signal: Tensor) -> Tensor:
        """Return the state."""
        return state


def _wide(parameter: Tensor) -> Tensor:
    return parameter if parameter.dtype == torch.float64 else parameter.float()


def _below_one(retention: Tensor) -> Tensor:
    """Keep rounding from making 1 of it, where nothing would be forgotten any more."""
    return retention.clamp(max=1.0 - 2.0**-20)


INJECTIONS: dict[str, type[Injection]] = {
    "gate": GateInjection,
    "diagonal": DiagonalInjection,
    "concat": ConcatInjection,
    "add": AddInjection,
    "none": NoInjection,
}
