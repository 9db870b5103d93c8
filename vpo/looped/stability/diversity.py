"""Do the tokens of a state still differ? Effective rank, and the mean cosine between tokens.

A loop that contracts too much, or that was run too often, makes tokens alike: the rank falls and the cosine goes to 1
(which it was in Huginn's collapsed run, arXiv 2502.05171). Both look at directions alone, as the readout does.

Shape letters: B sequences, T tokens, H width, N tokens that are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vpo.looped.scale import rms

_RANK_TOKENS = 1024


def effective_rank(state: Tensor, mask: Tensor | None = None) -> float:
    """``exp(H(s / sum s))`` of the singular values s of the (N, H) matrix of tokens, each scaled to unit size.

    From 1 (all tokens on one line) to min(N, H). Compare loops of the same tokens only: it grows with N. Through the
    smaller Gram matrix, in fp64: in fp32, squaring turns rounding into a thousand false directions of 1e-4 each.

    Args:
        state: (B, T, H) or (N, H).
        mask: (B, T) or (N,) bool, tokens to look at; a sample of 256 to 1024 is plenty.

    Returns:
        NaN if no token is left, or one is not finite.
    """
    rows = _directions(state, mask)
    if rows.shape[0] == 0 or not bool(rows.isfinite().all()):
        return float("nan")
    gram = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    share = singular / singular.sum()
    return float(torch.special.entr(share).sum().exp())


def token_cosine(state: Tensor, mask: Tensor | None = None) -> float:
    """Mean cosine over all pairs of different tokens of the same sequence: 1 if all are alike, about 0 if unrelated.

    Args:
        state: (B, T, H).
        mask: (B, T) bool, tokens to look at.

    Returns:
        NaN if no sequence has two tokens.
    """
    unit = state.double() / rms(state.double())
    kept = torch.ones(state.shape[:2], dtype=torch.bool, device=state.device) if mask is None else mask.bool()
    unit = torch.where(kept.unsqueeze(-1), unit, 0.0)
    count = kept.sum(1).double()
    # |sum of N unit vectors|^2 = N + the sum over ordered pairs
    pairs = unit.sum(1).square().mean(-1) - count
    total = (count * (count - 1)).sum()
    return float(pairs.sum() / total) if float(total) > 0 else float("nan")


class DiversitySample:
    """Diversity after every loop, gathered batch by batch.

    The rank is that of the first thousand tokens jointly, the cosine that of all tokens within their sequences.
    """

    def __init__(self) -> None:
        self.count = 0
        self._rows: list[list[Tensor]] = []
        self._cosines: list[tuple[int, list[float]]] = []

    def add(self, states: Sequence[Tensor], mask: Tensor) -> None:
        """Take note of a batch: L states (B, T, H), and the tokens (B, T) to look at."""
        missing = max(0, _RANK_TOKENS - self.count)
        self._rows.append([state[mask][:missing] for state in states])
        tokens = int(mask.sum())
        self._cosines.append((tokens, [token_cosine(state, mask) for state in states]))
        self.count += tokens

    def per_loop(self) -> dict[str, list[float]]:
        """``effective_rank`` and ``token_cosine``, L numbers each."""
        ranks = [effective_rank(torch.cat(each)) for each in zip(*self._rows, strict=True)]
        known = [(n, each) for n, each in self._cosines if not all(map(math.isnan, each))]
        total = sum(n for n, _ in known) or math.nan
        cosines = [sum(n * each[t] for n, each in known) / total for t in range(len(ranks))]
        return {"effective_rank": ranks, "token_cosine": cosines}


def _directions(state: Tensor, mask: Tensor | None) -> Tensor:
    rows = state[mask.bool()] if mask is not None else state.flatten(0, -2)
    return rows.double() / rms(rows.double())
