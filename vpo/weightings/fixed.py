"""One weighting, always the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vpo.weightings.protocol import check_draw, is_real


@dataclass(frozen=True)
class Fixed:
    """One weighting, always the same: the w* of deployment, or one corner of the simplex.

    The weights are used as they are given and are *not* normalised: with TRL's ``reward_weights`` as the weights, one
    answer a completion and this weighting, the set reward is TRL's GRPO reward to the last bit.

    Attributes:
        weights: One finite number a component, D of them.

    Raises:
        ValueError: ``weights`` is empty or holds something that is not a finite number.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))  # a list from a YAML file stays hashable
        bad = [weight for weight in self.weights if not (is_real(weight) and math.isfinite(weight))]
        if bad or not self.weights:
            raise ValueError(
                f"weights is {self.weights!r}: expected one finite number a component. Give as many as your reward "
                "functions have components, for instance (0.5, 0.5)."
            )

    def draw(self, num: int, dim: int, seed: int, center: Sequence[float] | None = None) -> Tensor:
        """Return the one weighting, whatever ``num`` and ``seed`` are.

        Args:
            num: K >= 1; ignored, as more copies would not change the mean over weightings.
            dim: D, must be the number of weights.
            seed: Ignored.
            center: Ignored.

        Returns:
            (1, D) float32 CPU tensor.

        Raises:
            ValueError: ``dim`` is not the number of weights.
        """
        check_draw(num, dim, seed)
        if dim != len(self.weights):
            raise ValueError(
                f"there are {len(self.weights)} fixed weights for {dim} reward components: expected one a component. "
                f"Give {dim} weights, in the order of the components."
            )
        return torch.tensor([self.weights], dtype=torch.float32)
