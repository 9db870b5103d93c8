"""The spectrum of each token's own block of the Jacobian.

Attention is causal, so the loop's Jacobian is block lower-triangular over tokens: its eigenvalues are those of the
diagonal blocks, in which one token varies and the others are held. A block has the width of the model and not of the
whole sequence, so a small Krylov space sees it, and the result says *which* token does not settle.

Shape letters: B sequences, T tokens, H width, K positions looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vpo.looped.stability.derivative import Derivative, Linearisation, Map
from vpo.looped.stability.krylov import Spectrum, krylov_spectrum


def token_spectrum(
    f: Map,
    point: Tensor,
    positions: Tensor,
    *,
    dimension: int = 20,
    derivative: Derivative = "auto",
    eps: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Spectrum:
    """Ritz values of the blocks at ``positions``, in every sequence.

    Sequences must not see each other: one product probes a position in all of them at once. All K products of a
    dimension run together, so memory grows with K.

    Args:
        f: (B, T, H) -> (B, T, H).
        point: (B, T, H).
        positions: (K,) int64, tokens to look at.
        dimension: Of each Krylov space, at most H; K products each.
        derivative: As for :class:`~vpo.looped.stability.derivative.Linearisation`, like ``eps``.
        eps: Relative step of differences.
        generator: On the CPU; by default a fresh one with seed 0.

    Returns:
        A spectrum whose P = K * B rows are ordered position by position; view a field as (K, B, ...).

    Raises:
        ValueError: The point has no (B, T, H) shape, or a position is not one of its tokens.
    """
    if point.ndim != 3:
        raise ValueError(f"point has shape {tuple(point.shape)}: expected (B, T, H).")
    batch, length, width = point.shape
    if positions.numel() == 0 or int(positions.min()) < 0 or int(positions.max()) >= length:
        raise ValueError(f"positions are {positions.tolist()}: expected one or more of the tokens 0 to {length - 1}.")
    if dimension < 1:
        raise ValueError(f"dimension is {dimension}: expected 1 or more.")
    count = len(positions)
    positions, each = positions.to(point.device), torch.arange(count, device=point.device)
    linear = Linearisation(f, point, derivative, eps)

    def times(vectors: Tensor) -> Tensor:
        directions = point.new_zeros(count, length, batch, width)
        directions[each, positions] = vectors.view(count, batch, width)
        answers = linear.times(directions.transpose(1, 2))
        return answers.transpose(1, 2)[each, positions].reshape(count * batch, width)

    generator = torch.Generator().manual_seed(0) if generator is None else generator
    start = torch.randn(count * batch, width, generator=generator, dtype=torch.float64).to(point)
    return krylov_spectrum(times, start, dimension)
