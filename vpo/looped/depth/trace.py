"""What every depth policy leaves behind: how many loops each token got, why it stopped, and how settled it was.

Shape letters: B sequences, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vpo.looped.depth.policy import DepthPolicy


class HaltReason(IntEnum):
    """Why a token stopped looping."""

    CAP = 0  # its loops were used up: the cap of a policy that halts, or the number that was prescribed
    CONVERGED = 1  # the policy's own criterion held
    DAMPING_FLOOR = 2  # the step size fell to its floor before the state settled


@dataclass
class DepthTrace:
    """The record of one forward pass, or of several joined along the tokens.

    Args:
        depth: (B, T) loops run, int64, 1 or more; 1 for padding.
        residual: (B, T) float32, relative change of the state in the last loop that was run.
        reason: (B, T) int8, a :class:`HaltReason`.
        damping: (B, T) int64; bit t is set if the step size was reduced after loop t. With it a damped run is replayed.
        policy: The policy that decided; None if there were several.
    """

    depth: Tensor
    residual: Tensor
    reason: Tensor
    damping: Tensor
    policy: DepthPolicy | None = None

    @staticmethod
    def join(traces: list[DepthTrace]) -> DepthTrace:
        """One trace over the tokens of all, in order."""
        if len(traces) == 1:
            return traces[0]
        policy = traces[0].policy
        return DepthTrace(
            torch.cat([trace.depth for trace in traces], dim=1),
            torch.cat([trace.residual for trace in traces], dim=1),
            torch.cat([trace.reason for trace in traces], dim=1),
            torch.cat([trace.damping for trace in traces], dim=1),
            policy if all(trace.policy == policy for trace in traces) else None,
        )

    def take(self, rows: Tensor) -> DepthTrace:
        """The trace of the sequences ``rows`` (R,), in that order."""
        return self._each(lambda tensor: tensor.index_select(0, rows))

    def first(self, length: int) -> DepthTrace:
        """The trace of the first ``length`` tokens."""
        return self._each(lambda tensor: tensor[:, :length])

    def _each(self, change: Callable[[Tensor], Tensor]) -> DepthTrace:
        parts = (self.depth, self.residual, self.reason, self.damping)
        depth, residual, reason, damping = (change(part) for part in parts)
        return DepthTrace(depth, residual, reason, damping, self.policy)

    def share(self, reason: HaltReason, mask: Tensor | None = None) -> float:
        """Share of tokens, of those in ``mask`` (B, T) if given, that stopped for ``reason``; NaN if there are none."""
        hit = (self.reason == reason) if mask is None else (self.reason == reason)[mask.bool()]
        return hit.float().mean().item()
