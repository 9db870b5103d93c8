"""Key/value planes of a looped model inside an ordinary transformers cache.

A shared core layer runs once a loop, and each run has its own keys and values, so a cache holds one *plane* for each
executed layer: ``prelude | coda | core at loop 0 | core at loop 1 | ...``. Core planes come last, so that a cache grows
with the number of loops. The layers themselves know only their own index; a view shifts it. (One plane for all loops,
which is what serving a weight-tied loop as if it were a plain model amounts to, is silently wrong.)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class PlaneView:
    """A cache as seen by the layers of one part of the model at one loop.

    Args:
        cache: The cache of the whole model.
        shift: Added to a layer's own index to give its plane.
    """

    def __init__(self, cache: Cache, shift: int) -> None:
        self.cache = cache
        self.shift = shift

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (B, heads, T, head_dim) keys and values to the layer's plane; return all that it holds.

        Raises:
            ValueError: The cache is of fixed size and has too few planes for this many loops.
        """
        plane = layer_idx + self.shift
        layers = self.cache.layers
        if plane >= len(layers):
            if not isinstance(self.cache, DynamicCache):
                raise ValueError(
                    f"{type(self.cache).__name__} has {len(layers)} planes, loop depth needs plane {plane}. "
                    "Set config.num_loops to the depth you decode with before the cache is made, or use a DynamicCache."
                )
            layers.extend(DynamicLayer() for _ in range(plane + 1 - len(layers)))
        return self.cache.update(keys, values, plane, *args, **kwargs)
