"""What a looped model returns beside hidden states or logits: what the loops did.

Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from vpo.looped.depth import DepthPolicy, DepthTrace


@dataclass
class LoopedOutput(BaseModelOutputWithPast):
    """Output of the backbone.

    Args:
        loop_depths: (B, T) loops of each token.
        loop_residuals: (B, T) relative change of the state in each token's last loop.
        loop_reasons: (B, T) int8, a :class:`~vpo.looped.depth.HaltReason`.
        loop_damping: (B, T) int64, record of step-size reductions.
        loop_remainders: (B, T) what ACT had left for the last loop, with gradient; None under other policies.
        loop_hidden_states: Normed output (B, T, H) of the coda after each loop, if ``output_loop_states``.
        loop_gate_logits: (B, T) gate logits after each loop, if ``output_loop_states`` and there is a gate.
        loop_policy: The depth policy that decided.
    """

    loop_depths: Tensor | None = None
    loop_residuals: Tensor | None = None
    loop_reasons: Tensor | None = None
    loop_damping: Tensor | None = None
    loop_remainders: Tensor | None = None
    loop_hidden_states: tuple[Tensor, ...] | None = None
    loop_gate_logits: tuple[Tensor, ...] | None = None
    loop_policy: DepthPolicy | None = None

    @property
    def trace(self) -> DepthTrace:
        """The per-token records in one."""
        return _trace(self)


@dataclass
class LoopedCausalLMOutput(CausalLMOutputWithPast):
    """Output of the model with the head; fields as in :class:`LoopedOutput`."""

    loop_depths: Tensor | None = None
    loop_residuals: Tensor | None = None
    loop_reasons: Tensor | None = None
    loop_damping: Tensor | None = None
    loop_remainders: Tensor | None = None
    loop_hidden_states: tuple[Tensor, ...] | None = None
    loop_gate_logits: tuple[Tensor, ...] | None = None
    loop_policy: DepthPolicy | None = None

    @property
    def trace(self) -> DepthTrace:
        """The per-token records in one."""
        return _trace(self)


def _trace(output: LoopedOutput | LoopedCausalLMOutput) -> DepthTrace:
    parts = (output.loop_depths, output.loop_residuals, output.loop_reasons, output.loop_damping)
    depth, residual, reason, damping = parts
    assert depth is not None and residual is not None and reason is not None and damping is not None  # always set
    return DepthTrace(depth, residual, reason, damping, output.loop_policy)
