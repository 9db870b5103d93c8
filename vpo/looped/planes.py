"""Keys and values of one physical layer, one plane for each version of a token; see :mod:`vpo.looped.cache`.

Shape letters: B sequences, S tokens held, T of this pass, D head width, P planes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

_BLOCK = 64  # tokens; buffers grow by a quarter, in whole blocks


class PlaneLayer(CacheLayerMixin):
    """Keys and values of one physical layer; each plane is a tensor of its own, so that one more moves none of them."""

    is_sliding = False
    is_croppable = True
    is_compileable = False

    def __init__(self) -> None:
        self.length = 0
        self.expected_planes = 1  # made at once, so that they need not be copied from one another
        self._written = -1  # deepest plane written in the pass that is under way
        self._store([])

    @property
    def stored(self) -> list[Tensor]:
        """P planes, (2, B, heads, capacity, D) each: keys, values."""
        return self._stored

    def _store(self, planes: list[Tensor]) -> None:
        self._stored = planes
        # Views of each plane's keys and values, so that a decoding step need not cut them anew.
        self._views = [(plane[0], plane[1]) for plane in planes]

    @property
    def is_initialized(self) -> bool:
        """Whether any token has been stored."""
        return bool(self._stored)

    @property
    def planes(self) -> int:
        """Planes that exist."""
        return len(self._stored)

    @property
    def capacity(self) -> int:
        """Tokens that there is room for without growing."""
        return self._stored[0].shape[3] if self._stored else 0

    @property
    def batch_size(self) -> int:
        """Sequences."""
        return self._stored[0].shape[1] if self._stored else -1

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(plane.nbytes for plane in self._stored)

    @property
    def keys(self) -> Tensor | None:
        """(B, heads, S, D) keys of the deepest plane."""
        return self._views[-1][0][:, :, : self.length] if self._views else None

    @property
    def values(self) -> Tensor | None:
        """(B, heads, S, D) values of the deepest plane."""
        return self._views[-1][1][:, :, : self.length] if self._views else None

    def write(self, plane: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one pass's keys and values, and return all that the plane holds.

        Args:
            plane: At most one deeper than exist.
            keys: (B, heads, T, D).
            values: (B, heads, T, D).

        Returns:
            Keys and values, (B, heads, S + T, D). Earlier tokens carry no gradient; these T do.
        """
        start, length = self.length, keys.shape[2]
        self._reserve(plane, start + length, keys)
        for stored, new in zip(self._views[plane], (keys, values), strict=True):
            stored.narrow(2, start, length).copy_(new.detach())
        self._written = plane
        return self.read(plane, keys, values)

    def read(self, plane: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The plane's earlier keys and values, and after them those of this pass, which are stored too.

        Args:
            plane: Which.
            keys: (B, heads, T, D) of this pass; returned with their gradient if gradients are on.
            values: (B, heads, T, D).

        Returns:
            Keys and values, (B, heads, S + T, D).
        """
        stored_keys, stored_values = self._views[plane]
        if not torch.is_grad_enabled():
            length = self.length + keys.shape[2]
            return stored_keys.narrow(2, 0, length), stored_values.narrow(2, 0, length)
        # Copies of what is stored: it is written again before the backward pass.
        past = (stored.narrow(2, 0, self.length).clone() for stored in (stored_keys, stored_values))
        return torch.cat([next(past), keys], dim=2), torch.cat([next(past), values], dim=2)

    def commit(self, length: int) -> None:
        """End a pass of ``length`` tokens: deeper planes get the versions that the tokens ended with.

        A layer that this pass did not write stays as it is.
        """
        if self._written < 0:
            return
        deeper = self._stored[self._written + 1 :]
        if deeper:
            last = self._stored[self._written].narrow(3, self.length, length)
            for plane in deeper:
                plane.narrow(3, self.length, length).copy_(last)
        self.length, self._written = self.length + length, -1

    def _reserve(self, plane: int, end: int, like: Tensor) -> None:
        batch, heads, _, width = like.shape
        if not self._stored:
            shape = (2, batch, heads, -(-end // _BLOCK) * _BLOCK, width)
            count = max(plane + 1, self.expected_planes)
            self._store([torch.empty(shape, dtype=like.dtype, device=like.device) for _ in range(count)])
        if self.batch_size != batch:
            raise ValueError(
                f"the cache holds {self.batch_size} sequences, and {batch} came in: expected the same batch. Use a "
                "cache for each batch, or cache.batch_select_indices(rows)."
            )
        if end > self.capacity:
            old, capacity = self.capacity, -(-max(end, self.capacity * 5 // 4) // _BLOCK) * _BLOCK
            grown = []
            for stored in self._stored:
                # All of it: in the middle of a pass the shallower planes hold tokens that are not committed yet.
                larger = stored.new_empty((*stored.shape[:3], capacity, width))
                larger.narrow(3, 0, old).copy_(stored)
                grown.append(larger)
            self._store(grown)
        if plane >= self.planes:
            # A deeper plane than any token has reached: all of them are at their last versions in the deepest one.
            self._store([*self._stored, self._stored[-1].clone()])

    # What transformers asks of a cache layer.

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Not needed: the first write allocates."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Refuse a plain layer, which does not know which loop it is in.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a LoopedCache is written by a looped model, loop by loop, and a plain layer does not say in which loop it "
            "is: give an ordinary model its own DynamicCache."
        )

    def get_seq_length(self) -> int:
        """Tokens held."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys that ``query_length`` new tokens see."""
        return self.length + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last ``-tokens_to_remove`` tokens; a positive number is the length to keep, as in transformers."""
        keep = self.length + tokens_to_remove if tokens_to_remove < 0 else tokens_to_remove or self.length
        self.length = max(0, min(self.length, keep))

    def reset(self) -> None:
        """Forget all tokens and keep the buffer."""
        self.length = 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the sequences ``beam_idx``, in that order."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the sequences ``indices`` (numbers or a bool mask)."""
        rows = indices.nonzero().squeeze(1) if indices.dtype == torch.bool else indices
        self._store([plane.index_select(1, rows.to(plane.device)) for plane in self._stored])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every sequence ``repeats`` times."""
        self._store([plane.repeat_interleave(repeats, dim=1) for plane in self._stored])
