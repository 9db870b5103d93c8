"""Keys and values of a looped model: one *plane* for each loop of a core layer, read at the depth a token reached.

A query in loop t reads an earlier token j at version min(t, depth_j): what the token looked like when it had run as
many loops, or when it had stopped ("last-exited"; Huginn calls it latest). Of the layouts in use it is the one that a
single parallel forward pass can reproduce, which is what makes log-probabilities at adaptive depth exact. A token that
stops writes its last version into all deeper planes, so reading is plain slicing. ``cache_planes=M`` stops the
refreshing at loop M: version min(t, depth_j, M), constant memory at any cap, and another model (an accuracy knob).

Memory in bytes, S being the capacity (at least the tokens held)::

    2 * B * kv_heads * head_dim * itemsize * S * (prelude + coda + core * planes)

with ``planes`` the deepest depth so far, at most M: planes are made when a token first needs them.

Shape letters: B sequences, S tokens held, T of this pass, P planes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from vpo.looped.config import LoopedConfig
from vpo.looped.depth import DepthTrace
from vpo.looped.planes import PlaneLayer


class LoopedCache(Cache):
    """The cache of a looped model, with the depths of the tokens in it.

    Args:
        config: The model's configuration; fixes the layers and the most planes.
    """

    def __init__(self, config: LoopedConfig) -> None:
        self.num_layers = config.prelude_layers + config.core_layers + config.coda_layers
        super().__init__(layers=[PlaneLayer() for _ in range(self.num_layers)])
        self.max_planes = config.cache_planes
        self.prompt_length = 0  # of a generation that this cache was made for
        self.end_ids: Tensor | None = None  # tokens that end a sequence of that generation
        self._traces: list[DepthTrace] = []
        self._deepest: Tensor | None = None  # (B,), of all traces; None if not known

    @property
    def trace(self) -> DepthTrace | None:
        """Depths of all tokens held, (B, S); None while there are none."""
        if len(self._traces) > 1:
            self._traces = [DepthTrace.join(self._traces)]
        return self._traces[0] if self._traces else None

    @property
    def nbytes(self) -> int:
        """Bytes allocated for keys and values."""
        return sum(layer.nbytes for layer in self.layers)

    def past_depth(self, batch_size: int, device: torch.device) -> Tensor:
        """(B,) deepest depth in each sequence, 0 for an empty cache."""
        if self._deepest is None and (trace := self.trace) is not None:
            self._deepest = trace.depth.amax(1)
        return torch.zeros(batch_size, dtype=torch.long, device=device) if self._deepest is None else self._deepest

    def commit(self, length: int, trace: DepthTrace) -> None:
        """End a pass of ``length`` tokens whose depths are ``trace``."""
        for layer in self.layers:
            layer.commit(length)
        before = self.past_depth(len(trace.depth), trace.depth.device)
        self._deepest = torch.maximum(before, trace.depth.amax(1))
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
        self._deepest = None

    def reset(self) -> None:
        """Forget all tokens."""
        super().reset()
        self._traces, self._deepest = [], None

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
            self._traces, self._deepest = [trace.take(rows.to(trace.depth.device))], None


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
