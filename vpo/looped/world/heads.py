"""What surrounds the core: the encoder of observations, the embedding of actions, and the heads.

Shape letters: B sequences, D numbers of an observation (of each cell, in a grid), C cells, H width, d rewards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vpo.looped.world.config import WorldModelConfig

#: Logit with which an untrained model says that a bit stays as it is.
COPY = 4.0


class ObservationEncoder(nn.Module):
    """An observation as the core takes it; the cells of a grid share their weights and differ by a learned position.

    Args:
        config: Of the model.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.widen = nn.Linear(config.observation_shape[0], width)
        self.narrow = nn.Linear(width, width)
        self.position = nn.Parameter(torch.zeros(config.num_cells, width)) if config.num_cells > 1 else None

    def forward(self, cells: Tensor) -> Tensor:
        """Standardised numbers (B, C, D) -> (B, C, H)."""
        hidden = self.widen(cells)
        if self.position is not None:
            hidden = hidden + self.position
        return self.narrow(F.silu(hidden))


class ActionEmbedding(nn.Module):
    """Actions, numbered (B,) or vectors (B, A), as (B, H).

    Args:
        config: Of the model.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.embed: nn.Module
        if config.num_actions is not None:
            self.embed = nn.Embedding(config.num_actions, config.hidden_size)
        else:
            assert config.action_size is not None
            self.embed = nn.Linear(config.action_size, config.hidden_size)

    def forward(self, actions: Tensor) -> Tensor:
        """Embed one step's actions."""
        return self.embed(actions)


class Heads(nn.Module):
    """Next observation, reward vector and continuation, from the core's output.

    Args:
        config: Of the model.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        width, numbers = config.hidden_size, config.observation_shape[0]
        self.is_grid = config.num_cells > 1
        self.observation = nn.Linear(width, numbers)
        self.copy = nn.Parameter(torch.full((numbers,), COPY)) if config.observation_kind == "binary" else None
        pooled = 2 * width if self.is_grid else width
        self.widen = nn.Linear(pooled, width)
        self.reward = nn.Linear(width, config.num_rewards)
        self.go_on = nn.Linear(width, 1)

    def forward(self, output: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read one step.

        Args:
            output: (B, C, H) of the core.
            cells: (B, C, D) the observation before the step.

        Returns:
            (B, C, D) standardised change, or logits of the bits; (B, d) standardised rewards; (B,) logits of going on.
        """
        seen = self.observation(output)
        if self.copy is not None:
            seen = seen + self.copy * (2 * cells - 1)
        # A mean over cells counts, a maximum finds: a reward may depend on either.
        pooled = torch.cat([output.mean(1), output.amax(1)], dim=-1) if self.is_grid else output.squeeze(1)
        hidden = F.silu(self.widen(pooled))
        return seen, self.reward(hidden), self.go_on(hidden).squeeze(-1)
