"""How many loops a sequence gets.

``FixedDepth`` serves sampling and reinforcement learning, ``RandomDepth`` supervised training (random depth makes extra
loops neutral instead of harmful: Huginn, arXiv 2502.05171). Halting by convergence will be one more policy behind the
same interface; nothing here pretends to be it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor


class DepthPolicy(Protocol):
    """Chooses the number of loops."""

    @property
    def max_loops(self) -> int:
        """Most loops any sequence can get."""

    def draw(self, batch_size: int, device: torch.device) -> Tensor | None:
        """(B,) loops for each sequence, or None when all get ``max_loops``."""


def looped_policy(model: Any) -> Any | None:
    """The looped model inside ``model``, which may be wrapped by PEFT; None if there is none.

    PEFT forwards the reading of attributes to the model it wraps, but not their setting: a depth policy set on the
    wrapper would have no effect.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base if hasattr(base, "depth_policy") else None


@dataclass(frozen=True)
class FixedDepth:
    """The same number of loops for every token.

    Raises:
        ValueError: ``num_loops`` is below 1.
    """

    num_loops: int

    def __post_init__(self) -> None:
        if self.num_loops < 1:
            raise ValueError(f"num_loops is {self.num_loops}: expected 1 or more.")

    @property
    def max_loops(self) -> int:
        """``num_loops``."""
        return self.num_loops

    def draw(self, batch_size: int, device: torch.device) -> None:
        """Return None: every sequence runs ``num_loops`` loops."""


@dataclass(frozen=True)
class RandomDepth:
    """A depth for each sequence, uniform on ``low..high``; for training only, drawn from torch's global generator.

    Raises:
        ValueError: Not 1 <= low <= high.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise ValueError(f"RandomDepth({self.low}, {self.high}): expected 1 <= low <= high.")

    @property
    def max_loops(self) -> int:
        """``high``."""
        return self.high

    def draw(self, batch_size: int, device: torch.device) -> Tensor:
        """(B,) loops, int64."""
        return torch.randint(self.low, self.high + 1, (batch_size,), device=device)
