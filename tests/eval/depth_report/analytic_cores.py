"""Probes whose loop is known on paper: the state is one vector a token, moved by a map of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from eval.depth import AdaptedProbe, LoopMapping

WIDTH, VOCABULARY = 6, 7


@dataclass
class Core:
    """``z_0`` is the token's embedding; the head is a fixed random matrix.

    Args:
        step: (B, T, H) -> (B, T, H).
        trained_loops: What it says of its training.
    """

    step: Callable[[Tensor], Tensor]
    trained_loops: int = 4
    embedding: Tensor = field(default_factory=lambda: normal(VOCABULARY, WIDTH, seed=1))
    head: Tensor = field(default_factory=lambda: normal(VOCABULARY, WIDTH, seed=2))

    def probe(self, **options) -> AdaptedProbe:
        mapping = LoopMapping(
            kind="analytic",
            begin=lambda ids: self.embedding[ids],
            start=lambda begun, seed: begun,
            step=lambda begun, state, t: self.step(state),
            read=lambda begun, state: state,
            logits=lambda hidden: hidden @ self.head.to(hidden.dtype).T,
            trained_loops=self.trained_loops,
            setting="num_steps",
        )
        return AdaptedProbe(mapping, **options)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def contraction(factor: float) -> Core:
    """``z -> c + factor * (z - c)``: residuals fall by the factor, the Jacobian is the factor times one."""
    centre = normal(WIDTH, seed=3)
    return Core(lambda z: centre + factor * (z - centre))


def rotation(factor: float, angle: float) -> Core:
    """A complex pair in each two channels: steps turn by the angle and shrink by the factor."""
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    pair = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    matrix = factor * torch.block_diag(*[pair] * (WIDTH // 2))
    return Core(lambda z: z @ matrix.to(z.dtype).T)


def drift(size: float = 3.0) -> Core:
    """``z -> z + v``: grows in a straight line for ever."""
    direction = size * normal(WIDTH, seed=4)
    return Core(lambda z: z + direction)


def period_two() -> Core:
    """``z -> 2c - z``: swings between two states."""
    centre = normal(WIDTH, seed=5)
    return Core(lambda z: 2 * centre - z)
