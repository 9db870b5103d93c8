"""A loss for exit states that have settled: one more pass of the core should change them little.

``||f(z_T) - z_T||^2 / ||z_T||^2`` on the state z_T that a sequence leaves the loop with; 0 at a fixed point. Weakly
weighted it makes the core contract, so that stopping early costs little (research names it beside Jacobian penalties,
which cost several passes more). :class:`Lookahead` runs the extra pass within the same forward pass, and the output is
what it would have been without it.

Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vpo.looped.depth import FixedDepth, Halter, HaltReason, LoopCall, LoopStep, RandomDepth


def consistency_loss(exit_state: Tensor, next_state: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over tokens of the squared change that one more pass makes, relative to the state.

    The size of the state is a constant here: with a gradient it would be grown, which makes the change look smaller and
    nothing settle.

    Args:
        exit_state: (B, T, H) z_T.
        next_state: (B, T, H) f(z_T).
        mask: (B, T) bool, tokens that count; all by default.

    Returns:
        A scalar; 0 if no token counts.
    """
    size = exit_state.detach().square().sum(-1) + 1e-12
    each = (next_state - exit_state).square().sum(-1) / size
    if mask is None:
        return each.mean()
    return torch.where(mask, each, 0).sum() / mask.sum().clamp(min=1)


class Lookahead:
    """A depth policy that runs every sequence one pass further than ``policy`` and keeps the state from before.

    After a forward pass, ``exit_state`` and ``next_state`` (B, T, H) hold z_T and f(z_T) with their gradients; at
    padding they are 0. The trace counts the extra pass. One object serves one forward pass at a time.

    Args:
        policy: Depths that are known beforehand and the same for all tokens of a sequence.

    Raises:
        ValueError: Another kind of policy: a token that stops before its neighbours would, by looking ahead, show them
            another version of its keys and values, and change their result.
    """

    kind: ClassVar[str] = "lookahead"

    def __init__(self, policy: FixedDepth | RandomDepth) -> None:
        if not isinstance(policy, (FixedDepth, RandomDepth)):
            raise ValueError(
                f"{policy} decides token by token: expected FixedDepth or RandomDepth, under which all tokens of a "
                "sequence stop together."
            )
        self.policy = policy
        self.exit_state: Tensor | None = None
        self.next_state: Tensor | None = None

    @property
    def cap(self) -> int:
        """One more than the policy's."""
        return self.policy.cap + 1

    def start(self, call: LoopCall) -> Halter:
        """Draw the depths, and forget the last pass."""
        self.exit_state = self.next_state = None
        return _Looking(self, call)

    def loss(self, mask: Tensor) -> Tensor:
        """:func:`consistency_loss` of the last forward pass; ``mask`` (B, T) bool says which tokens count."""
        assert self.exit_state is not None and self.next_state is not None, "no forward pass was made"
        return consistency_loss(self.exit_state, self.next_state, mask)


class _Looking(Halter):
    def __init__(self, owner: Lookahead, call: LoopCall) -> None:
        super().__init__(call)
        self.owner = owner
        inner = owner.policy.start(call)
        depth = owner.policy.cap if inner.planned is None else inner.planned
        self.planned: Tensor = torch.where(call.real, depth, 1) + 1
        self.gradient_from = inner.gradient_from

    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, HaltReason]:
        return self.planned == step.loop + 1, HaltReason.CAP

    def state(self, step: LoopStep, stop: Tensor) -> Tensor:
        ahead = (stop & step.active).unsqueeze(-1)
        owner = self.owner
        old, new = (
            torch.zeros_like(step.new) if kept is None else kept for kept in (owner.exit_state, owner.next_state)
        )
        owner.exit_state, owner.next_state = torch.where(ahead, step.old, old), torch.where(ahead, step.new, new)
        return torch.where(stop.unsqueeze(-1), step.old, step.new)
