"""Attention of one core layer in vLLM: a plane of keys and values for every loop, with stopped tokens' entries frozen.

The layer around it is vLLM's own and calls ``attn(q, k, v)`` as ever. What the planes mean is settled in
:mod:`vpo.looped.cache`: a query in loop t reads an earlier token at version min(t, its depth, M).

Shape letters: N tokens of a step, all sequences one after another; D width of all key/value heads of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.attention.attention import unified_kv_cache_update


@dataclass
class CurrentPass:
    """Which pass of the core is running; one object, shared by all layers of the core.

    Args:
        index: Of the pass, from 0.
        active: (N,) bool, tokens that still loop; None if all do.
    """

    index: int = 0
    active: Tensor | None = None


class PlaneAttention(nn.Module):
    """Stands where a vLLM layer has its ``attn``.

    Args:
        planes: One attention module, with a cache of its own, for each version of a token's keys and values; M.
        current: Tells which pass is running.
    """

    def __init__(self, planes: Sequence[Attention], current: CurrentPass) -> None:
        super().__init__()
        self.planes: Any = nn.ModuleList(planes)
        self.current = current
        self._kept: tuple[Tensor, Tensor] | None = None

    @property
    def writes_alone(self) -> bool:
        """Whether keys and values can be stored without attending to them."""
        return not self.planes[0].attn_backend.forward_includes_kv_cache_update

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        """(N, heads * width) of the pass that is running; ``key`` and ``value`` are (N, D)."""
        index, active = self.current.index, self.current.active
        if index and self._kept is not None:
            before = self._kept
            if index >= len(self.planes):  # no plane is left for another version
                key, value = before
            elif active is not None:
                key = torch.where(active[:, None], key, before[0])
                value = torch.where(active[:, None], value, before[1])
        self._kept = (key, value)
        return self.planes[min(index, len(self.planes) - 1)](query, key, value, **options)

    def finish(self, passes: int) -> None:
        """End a step after ``passes`` passes: the planes that none of them wrote get the last versions."""
        assert self._kept is not None
        key, value = self._kept
        self._kept = None
        for plane in list(self.planes)[passes:]:
            shape = (-1, plane.num_kv_heads, plane.head_size)
            unified_kv_cache_update(key.reshape(shape), value.reshape(shape), plane.layer_name)
