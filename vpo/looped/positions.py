"""Learned absolute positions, for prompts that are a grid of fixed size."""

from __future__ import annotations

from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """An embedding that says what is wrong when a sequence outgrows it."""

    def forward(self, position_ids: Tensor) -> Tensor:
        """(B, T) positions -> (B, T, H).

        Raises:
            ValueError: A position past the last learned one.
        """
        last = int(position_ids.max())
        if last >= self.num_embeddings:
            raise ValueError(
                f"position {last} is past the {self.num_embeddings} learned ones: shorten the prompt or "
                "max_completion_length, or build the model with more learned_positions."
            )
        return super().forward(position_ids)
