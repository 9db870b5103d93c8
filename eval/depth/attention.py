"""How the core's attention changes from loop to loop, and how alike its heads are (LoopCoder-v2, arXiv 2606.18023).

There the change collapses after the loop that still helps, while the heads become more alike. Departure: a mean over
queries, not over tokens of a corpus, so that the first query of a sequence, which can see nothing but itself, is left
out instead of counting as "no change".

Shape letters: R loops, L layers, B sequences, A heads, T tokens (queries, then keys).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def attention_change(weights: Tensor, mask: Tensor) -> list[float]:
    """``KL(A_t || A_(t-1))`` of the attention distributions, mean over layers, heads and real queries.

    Args:
        weights: (R, L, B, A, T, T), rows sum to 1.
        mask: (B, T) bool, real tokens.

    Returns:
        R numbers, nats a query; NaN for the first loop, and if no query sees two keys.
    """
    made = [math.nan]
    for before, now in zip(weights[:-1].double(), weights[1:].double(), strict=True):
        # Where the earlier weight underflowed to 0 the divergence would be infinite; the smallest fp32 stands for it.
        tiny = torch.finfo(torch.float32).tiny
        each = torch.special.xlogy(now, now.clamp(min=tiny) / before.clamp(min=tiny)).sum(-1)
        made.append(_mean(each, mask))
    return made


def head_similarity(weights: Tensor, mask: Tensor) -> list[float]:
    """Mean cosine between the attention rows of different heads of one layer: 1 if all heads look at the same.

    Args:
        weights: (R, L, B, A, T, T).
        mask: (B, T) bool, real tokens.

    Returns:
        R numbers in [0, 1]; NaN with a single head.
    """
    heads = weights.shape[3]
    if heads < 2:
        return [math.nan] * len(weights)
    made = []
    for each in weights.double():
        unit = each / each.norm(dim=-1, keepdim=True).clamp(min=1e-300)
        # |sum of A unit vectors|^2 = A + the sum over ordered pairs
        pairs = (unit.sum(2).square().sum(-1) - heads) / (heads * (heads - 1))
        made.append(_mean(pairs.unsqueeze(2), mask))
    return made


@contextmanager
def recorded_attention(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect what attention modules give as second value, (B, A, T, T), in the order of their calls."""
    found: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], Tensor) and output[1].ndim == 4:
            found.append(output[1].detach())

    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _mean(values: Tensor, mask: Tensor) -> float:
    """Mean of (L, B, A, T) over layers, heads and the queries that see two real keys at least."""
    sees_two = (mask.bool().cumsum(1) >= 2) & mask.bool()
    kept = sees_two[None, :, None].expand(values.shape)
    return float(values[kept].mean()) if bool(kept.any()) else math.nan
