"""One layer of a world model: a residual MLP on every cell that, in a grid, sees its neighbours.

``x + W2 silu(W1 mix(norm(x)))`` with a depthwise 3x3 convolution as ``mix`` (FPRM, arXiv 2606.18206, whose code calls
it indispensable for a fixed point on mazes), or nothing where there is a single cell. What a block adds to its input is
bounded whatever the input is, because it sees it through a norm: :meth:`Block.bound`.

Shape letters: B sequences, C cells, H width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """A residual layer.

    Args:
        hidden_size: H.
        inner_size: Width of the hidden layer.
        grid: Rows and columns; None for a single cell.
    """

    def __init__(self, hidden_size: int, inner_size: int, grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(hidden_size, bias=False)
        self.mix = None if grid is None else nn.Conv2d(hidden_size, hidden_size, 3, padding=1, groups=hidden_size)
        self.widen = nn.Linear(hidden_size, inner_size)
        self.narrow = nn.Linear(inner_size, hidden_size)

    def forward(self, state: Tensor) -> Tensor:
        """Add the layer's output to the state (B, C, H)."""
        inner = self.norm(state)
        if self.mix is not None and self.grid is not None:
            inner = self.mix(inner.transpose(1, 2).unflatten(2, self.grid)).flatten(2).transpose(1, 2)
        return state + self.narrow(F.silu(self.widen(inner)))

    @torch.no_grad()
    def bound(self) -> float:
        """Largest norm over channels of what the block can add to any cell, whatever the state.

        ``|norm(x)_c| <= |w_c| sqrt(H)``; the convolution multiplies channel c by at most the sum of its kernel's
        absolute values; ``|silu(y)| <= |y|``; a matrix stretches by its largest singular value at most.
        """
        reach = self.norm.weight.double().abs() * math.sqrt(len(self.norm.weight))
        if self.mix is not None:
            kernel, shift = self.mix.weight.double(), self.mix.bias
            assert shift is not None
            reach = kernel.abs().sum((1, 2, 3)) * reach + shift.double().abs()
        # Over the channels together norm(x) is no longer than max|w| sqrt(H); a grid's cells do not share that limit.
        longest = reach.max() if self.mix is None else reach.norm()
        for layer in (self.widen, self.narrow):
            longest = torch.linalg.matrix_norm(layer.weight.double(), 2) * longest + layer.bias.double().norm()
        return float(longest)
