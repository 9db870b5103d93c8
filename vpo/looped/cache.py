"""Keys and values of a looped model: one *plane* for each loop of a core layer, read at the depth a token reached.

A query in loop t reads an earlier token j at version min(t, depth_j): what the token looked like when it had run as
many loops, or when it had stopped ("last-exited"; Huginn calls it latest). Of the layouts in use it is the one that a
single parallel forward pass can reproduce, which is what makes log-probabilities at adaptive depth exact. A token that
stops writes its last version into all deeper planes, so reading is plain slicing. ``cache_planes=M`` stops the
refreshing at loop M: version min(t, depth_j, M), constant memory at any cap, and another model (an accuracy knob).

Memory in bytes, S being the capacity (at least the tokens held)::

    2 * B * kv_heads * head_dim * itemsize * S * (prelude + coda + core * planes)

with ``planes`` the deepest depth so far, at most M: planes are made when a token first needs them.

Shape letters: B sequences, S tokens held, T of this pass, D head width, P planes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthTrace

_BLOCK = 64  # tokens; buffers grow by a quarter, in whole blocks


class PlaneLayer(CacheLayerMixin):
    """Keys and values of one physical layer, all planes in one buffer (2, P, B, heads, capacity, D)."""

    is_sliding = False
    is_croppable = True
    is_compileable = False

    def __init__(self) -> None:
        self.buffer: Tensor | None = None
        self.length = 0
        self._written = 0  # deepest plane written in the pass that is under way

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
        end = self.length + keys.shape[2]
        self._reserve(plane, end, keys)
        assert self.buffer is not None
        self.buffer[0, plane, :, :, self.length : end] = keys.detach()
        self.buffer[1, plane, :, :, self.length : end] = values.detach()
        self._written = plane
        stored = self.buffer[:, plane, :, :, :end]
        if torch.is_grad_enabled() and (keys.requires_grad or values.requires_grad):
            past = stored[..., : self.length, :].detach().clone()
            return torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        return stored[0], stored[1]

    def read(self, plane: int, length: int) -> tuple[Tensor, Tensor]:
        """The plane's keys and values with the first ``length`` tokens of the pass under way."""
        assert self.buffer is not None
        stored = self.buffer[:, plane, :, :, : self.length + length]
        return stored[0], stored[1]

    def commit(self, length: int) -> None:
        """End a pass of ``length`` tokens: deeper planes get the versions that the tokens ended with."""
        assert self.buffer is not None
        end = self.length + length
        if self._written + 1 < self.planes:
            last = self.buffer[:, self._written : self._written + 1, :, :, self.length : end]
            self.buffer[:, self._written + 1 :, :, :, self.length : end] = last
        self.length = end

    def _reserve(self, plane: int, end: int, like: Tensor) -> None:
        batch, heads, _, width = like.shape
        if self.buffer is None:
            capacity = -(-end // _BLOCK) * _BLOCK
            self.buffer = torch.empty((2, 1, batch, heads, capacity, width), dtype=like.dtype, device=like.device)
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


class LoopedCache(Cache):
    """The cache of a looped model, with the depths of the tokens in it.

    Args:
        config: The model's configuration; fixes the layers and the most planes.
    """

    def __init__(self, config: LoopedConfig) -> None:
        self.num_layers = config.prelude_layers + config.core_layers + config.coda_layers
        super().__init__(layers=[PlaneLayer() for _ in range(self.num_layers)])
        self.max_planes = config.cache_planes
        self._traces: list[DepthTrace] = []

    @property
    def trace(self) -> DepthTrace | None:
        """Depths of all tokens held, (B, S); None while there are none."""
        if len(self._traces) > 1:
            self._traces = [DepthTrace.join(self._traces)]
        return self._traces[0] if self._traces else None

    @property
    def nbytes(self) -> int:
        """Bytes allocated for keys and values."""
        return sum(layer.buffer.nbytes for layer in self.layers if layer.buffer is not None)

    def past_depth(self, batch_size: int, device: torch.device) -> Tensor:
        """(B,) deepest depth in each sequence, 0 for an empty cache."""
        trace = self.trace
        return torch.zeros(batch_size, dtype=torch.long, device=device) if trace is None else trace.depth.amax(1)

    def commit(self, length: int, trace: DepthTrace) -> None:
        """End a pass of ``length`` tokens whose depths are ``trace``."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.commit(length)
        self._traces.append(trace)

    def readout_layer(self, index: int) -> PlaneLayer:
        """Planes of coda layer ``index`` at intermediate loops, which only a policy that reads every loop out needs.

        Raises:
            ValueError: The cache holds tokens that were not read out.
        """
        place = self.num_layers + index
        while len(self.layers) <= place:
            self.layers.append(PlaneLayer())
        if self.layers[place].length != self.layers[0].length:
            raise ValueError(
                "the cache holds tokens that were not read out loop by loop: a policy that compares outputs (KLExit) "
                "must be in use from a cache's first token on."
            )
        return self.layers[place]

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last ``-tokens_to_remove`` tokens."""
        super().crop(tokens_to_remove)
        trace = self.trace
        self._traces = [trace.first(self.get_seq_length())] if trace is not None and self.get_seq_length() else []

    def reset(self) -> None:
        """Forget all tokens."""
        super().reset()
        self._traces = []

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the sequences ``beam_idx``, depths included."""
        super().reorder_cache(beam_idx)
        self._take(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the sequences ``indices``, depths included."""
        super().batch_select_indices(indices)
        self._take(indices.nonzero().squeeze(1) if indices.dtype == torch.bool else indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every sequence ``repeats`` times, depths included."""
        super().batch_repeat_interleave(repeats)
        if (trace := self.trace) is not None:
            rows = torch.arange(len(trace.depth), device=trace.depth.device)
            self._take(rows.repeat_interleave(repeats))

    def _take(self, rows: Tensor) -> None:
        if (trace := self.trace) is not None:
            self._traces = [trace.take(rows.to(trace.depth.device))]


def cache_bytes(config: LoopedConfig, batch: int, capacity: int, planes: int, itemsize: int) -> int:
    """Bytes of keys and values: the formula at the top of this file.

    Args:
        config: The model's configuration.
        batch: B.
        capacity: S, tokens that there is room for.
        planes: P of the core layers; ``min(deepest depth, config.cache_planes)``.
        itemsize: Bytes of one number.
    """
    layers = config.prelude_layers + config.coda_layers + config.core_layers * planes
    return 2 * batch * config.num_key_value_heads * config.head_dim * itemsize * capacity * layers
