"""What a world model returns.

Shape letters: B sequences, T environment steps, C cells, H width, d rewards; O stands for the shape of an observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class WorldModelOutput(ModelOutput):
    """Predictions for every step.

    Args:
        loss: Mean over the real steps, if targets were given.
        losses: (B, T) loss of each step, if targets were given; 0 at padding.
        observations: (B, T, O) predicted *next* observations; probabilities if they are binary.
        rewards: (B, T, d) predicted reward of each step, in the data's unit.
        continues: (B, T) probability that the sequence goes on after the step.
        depths: (B, T) loops run, int64; 1 for padding.
        residuals: (B, T) relative change of the state in the last loop.
        reasons: (B, T) int8, a :class:`~vpo.looped.depth.HaltReason`.
        state_norms: (B, T) largest norm over channels of any cell's state after the step.
        state: (B, C, H) after the last step, from which a rollout can go on.
        loop_losses: (R, B, T) loss if the step's predictions were read off after each of R loops, if asked for.
        gate_inputs: (R, B, T, H) what the halting gate reads after each loop, with them.
    """

    loss: Tensor | None = None
    losses: Tensor | None = None
    observations: Tensor | None = None
    rewards: Tensor | None = None
    continues: Tensor | None = None
    depths: Tensor | None = None
    residuals: Tensor | None = None
    reasons: Tensor | None = None
    state_norms: Tensor | None = None
    state: Tensor | None = None
    loop_losses: Tensor | None = None
    gate_inputs: Tensor | None = None

    @property
    def returns(self) -> Tensor:
        """(B, d) expected sum of rewards: each step's counts as far as the sequence is expected to have gone on."""
        assert self.rewards is not None and self.continues is not None
        alive = self.continues.cumprod(1)
        before = torch.cat([torch.ones_like(alive[:, :1]), alive[:, :-1]], dim=1)
        return (before.unsqueeze(-1) * self.rewards).sum(1)
