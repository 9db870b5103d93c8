"""The tokens that a pass of the core still computes.

Once under half of the tokens loop on, the others are left out of the computation ("packed"): rows without an active
token are dropped, and in the rest the active tokens move together. What a token computes does not change, only what
stands beside it. Shape letters: B sequences, T tokens, H width, R rows and C columns of the packed batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PACK_BELOW = 0.5  # packing costs copies; below this share of the tokens it pays for them
PACK_BELOW_IN_LONG_CONTEXT = 0.25  # one new token against a long past: the past of the rows is what must be copied
_LONG = 512  # tokens
MASKS_BY_COLUMN = ("sdpa", "eager")  # attention whose mask is a (B, 1, T, S) tensor, so that columns may be selected


@dataclass
class Active:
    """A selection of tokens.

    Args:
        mask: (B, T) bool, tokens still looping; None if all are.
        rows: (R,) sequences that are computed; None for all.
        columns: (R, C) tokens of each that are computed; None for all.
        valid: (R, C) bool, false where a column stands for a token that has stopped, to fill the rectangle.
    """

    mask: Tensor | None = None
    rows: Tensor | None = None
    columns: Tensor | None = None
    valid: Tensor | None = None

    def take(self, full: Tensor) -> Tensor:
        """(B, T, ...) -> (R, C, ...)."""
        part = full if self.rows is None else full.index_select(0, self.rows)
        if self.columns is None:
            return part
        index = self.columns.view(*self.columns.shape, *[1] * (full.ndim - 2)).expand(-1, -1, *full.shape[2:])
        return part.gather(1, index)

    def put(self, full: Tensor, packed: Tensor) -> Tensor:
        """``full`` (B, T, H) with the active tokens taken from ``packed`` (R, C, H)."""
        packed = packed.to(full.dtype)
        if self.columns is None and self.rows is None:
            return packed if self.mask is None else torch.where(self.mask.unsqueeze(-1), packed, full)
        rows = self._spread(full if self.rows is None else full.index_select(0, self.rows), packed, axis=1)
        return rows if self.rows is None else full.index_copy(0, self.rows, rows)

    def merge(self, frozen: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
        """Keys or values after a pass.

        Args:
            frozen: (B, heads, T, D) those of the pass before.
            new: (R, heads, C, D) those that the pass has computed.

        Returns:
            (B, heads, T, D) with the active tokens' replaced, and the (R, heads, T, D) rows of it that are computed.
        """
        if self.columns is None and self.rows is None:
            merged = new if self.mask is None else torch.where(self.mask[:, None, :, None], new, frozen)
            return merged, merged
        rows = self._spread(frozen if self.rows is None else frozen.index_select(0, self.rows), new, axis=2)
        return (rows if self.rows is None else frozen.index_copy(0, self.rows, rows)), rows

    def _spread(self, rows: Tensor, packed: Tensor, axis: int) -> Tensor:
        """Rows with their valid columns replaced along ``axis``; a filler column keeps what stood there."""
        if self.columns is None:  # whole rows
            assert self.mask is not None and self.rows is not None
            mask = self.mask.index_select(0, self.rows)
            return torch.where(mask.unsqueeze(-1) if axis == 1 else mask[:, None, :, None], packed, rows)
        assert self.valid is not None
        shape = (*self.columns.shape, 1) if axis == 1 else (self.columns.shape[0], 1, self.columns.shape[1], 1)
        index = self.columns.view(shape).expand_as(packed)
        kept = torch.where(self.valid.view(shape), packed, rows.gather(axis, index))
        return rows.scatter(axis, index, kept)


def select(mask: Tensor, attention: str, past: int = 0, always: bool = False) -> Active | None:
    """What to compute of the tokens in ``mask``.

    Args:
        mask: (B, T) bool, tokens still looping.
        attention: Name of the attention implementation; not every kind of mask can be cut by columns.
        past: Tokens in the cache.
        always: Compute something even if no token is active: other processes do, and wait for us.

    Returns:
        The selection, or None if there is nothing to compute.
    """
    batch, length = mask.shape
    counts = mask.sum(1)
    most, total = (int(n) for n in torch.stack([counts.max(), counts.sum()]).tolist())
    if total == 0:
        if not always:
            return None
        if attention not in MASKS_BY_COLUMN:
            return Active(mask)
        one = torch.zeros(1, dtype=torch.long, device=mask.device)
        return Active(mask, one, one[None], torch.zeros(1, 1, dtype=torch.bool, device=mask.device))
    if total == batch * length:
        return Active()
    if attention not in MASKS_BY_COLUMN:
        return Active(mask)
    rows = counts.nonzero().squeeze(1)
    share = PACK_BELOW if length > 1 or past < _LONG else min(PACK_BELOW, PACK_BELOW_IN_LONG_CONTEXT)
    if len(rows) * most > share * batch * length:
        return Active(mask)
    chosen = mask if len(rows) == batch else mask.index_select(0, rows)
    keep_rows = None if len(rows) == batch else rows
    if most == length:
        return Active(mask, keep_rows)
    columns = (~chosen).to(torch.int8).argsort(dim=1, stable=True)[:, :most]  # active ones first, in order
    return Active(mask, keep_rows, columns, chosen.gather(1, columns))
