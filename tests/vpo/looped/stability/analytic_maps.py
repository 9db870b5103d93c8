"""Maps whose stability is known on paper, as functions of a state (B, T, H) in fp64."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


def linear(matrix: Tensor, offset: Tensor | float = 0.0) -> Map:
    """``z -> A z + c`` along the last axis."""
    return lambda z: z @ matrix.T + offset


def rotation(factor: float, angle: float, width: int) -> Tensor:
    """``factor`` times a rotation by ``angle`` in each pair of channels: eigenvalues ``factor * exp(+-i angle)``."""
    cos, sin = math.cos(angle), math.sin(angle)
    pair = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    return factor * torch.block_diag(*[pair] * (width // 2))


def orthogonal(width: int, seed: int) -> Tensor:
    """A random orthogonal matrix."""
    return torch.linalg.qr(normal(width, width, seed=seed))[0]


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers in fp64."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def causal(blocks: Tensor, coupling: float) -> Map:
    """``z_t -> A_t z_t + coupling * (sum of z_s over s < t)``, blocks (T, H, H): lower-triangular over tokens."""
    return lambda z: torch.einsum("tij,btj->bti", blocks, z) + coupling * (z.cumsum(1) - z)
