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
    """Keys and values of one physical layer, all planes in one buffer (2, P, B, heads, capacity, D)."""

    is_sliding = False
    is_croppable = True
    is_compileable = False

    def __init__(self) -> None:
        self.buffer = None
        self.length = 0
        self.expected_planes = 1  # made at once, so that they need not be added one by one
        self._written = -1  # deepest plane written in the pass that is under way

    @property
    def buffer(self) -> Tensor | None:
        """All that is stored, (2, P, B, heads, capacity, D): keys, values."""
        return self._buffer

    @buffer.setter
    def buffer(self, buffer: Tensor | None) -> None:
        self._buffer = buffer
        # Views of each plane's keys and values, so that a decoding step need not cut them anew.
        self._views = [] if buffer is None else list(zip(buffer[0].unbind(), buffer[1].unbind(), strict=True))

    @property
    def is_initialized(self) -> bool:
        """Whether any token has been stored."""
        return self.buffer is not None

    @property
    def planes(self) -> int:
        """Planes that exist."""
        return 0 if self.buffer is None else self.buffer.shape[1]

    @property
    def capacity(self) -> int:
        """Tokens that the buffer can hold without growing."""
        return 0 if self.buffer is None else self.buffer.shape[4]

    @property
    def batch_size(self) -> int:
        """Sequences."""
        return -1 if self.buffer is None else self.buffer.shape[2]

    @property
    def keys(self) -> Tensor | None:
        """(B, heads, S, D) keys of the deepest plane."""
        return None if self.buffer is None else self.buffer[0, -1, :, :, : self.length]

    @property
    def values(self) -> Tensor | None:
        """(B, heads, S, D) values of the deepest plane."""
        return None if self.buffer is None else self.buffer[1, -1, :, :, : self.length]

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
        """The plane's earlier keys and values, and after them those of this pass, which stand in the buffer too.

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
        # Copies of what is stored: the buffer is written again before the backward pass.
        past = (stored.narrow(2, 0, self.length).clone() for stored in (stored_keys, stored_values))
        return torch.cat([next(past), keys], dim=2), torch.cat([next(past), values], dim=2)

    def commit(self, length: int) -> None:
        """End a pass of ``length`` tokens: deeper planes get the versions that the tokens ended with.

        A layer that this pass did not write stays as it is.
        """
        if self._written < 0:
            return
        assert self.buffer is not None
        end = self.length + length
        if self._written + 1 < self.planes:
            last = self.buffer[:, self._written : self._written + 1, :, :, self.length : end]
            self.buffer[:, self._written + 1 :, :, :, self.length : end] = last
        self.length, self._written = end, -1

    def _reserve(self, plane: int, end: int, like: Tensor) -> None:
        batch, heads, _, width = like.shape
        if self.buffer is None:
            capacity = -(-end // _BLOCK) * _BLOCK
            planes = max(plane + 1, self.expected_planes)
            self.buffer = torch.empty((2, planes, batch, heads, capacity, width), dtype=like.dtype, device=like.device)
        if self.buffer.shape[2] != batch:
            raise ValueError(
                f"the cache holds {self.buffer.shape[2]} sequences, and {batch} came in: expected the same batch. Use "
                "a cache for each batch, or cache.batch_select_indices(rows)."
            )
        if end > self.capacity:
            capacity = -(-max(end, self.capacity * 5 // 4) // _BLOCK) * _BLOCK
            grown = self.buffer.new_empty((*self.buffer.shape[:4], capacity, width))
            # Up to `end`: in the middle of a pass the shallower planes hold tokens that are not committed yet.
            grown[..., : self.capacity, :] = self.buffer
            self.buffer = grown
        if plane >= self.planes:
            # A deeper plane than any token has reached: all of them are at their last versions in the deepest one.
            self.buffer = torch.cat([self.buffer, self.buffer[:, -1:]], dim=1)

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
        if self.buffer is not None:
            rows = indices.nonzero().squeeze(1) if indices.dtype == torch.bool else indices
            self.buffer = self.buffer.index_select(2, rows.to(self.buffer.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every sequence ``repeats`` times."""
        if self.buffer is not None:
            self.buffer = self.buffer.repeat_interleave(repeats, dim=2)
