"""What a decoder layer sees in the place of its cache: the plane of one loop, with stopped tokens' entries frozen.

The layers are ordinary transformers layers and know nothing of loops. They hand new keys and values to ``update`` and
attend to what it returns; freezing and planes happen there, with a cache and without one.
Shape letters: B sequences, T tokens of this pass, S tokens in the cache, D head width; R, C as in
:mod:`vpo.looped.active`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn

from vpo.looped.active import Active
from vpo.looped.planes import PlaneLayer

#: By layer index, the (B, heads, T, D) keys and values of this pass's tokens, at the versions they are at.
Versions = dict[int, tuple[Tensor, Tensor]]


class LoopView:
    """The cache as one loop sees it.

    Args:
        active: Tokens that are computed.
        versions: Those of the loop before; empty in the first.
        planes: Cached layers by layer index, or None without a cache.
        plane: Plane of this loop.
        refresh: Whether this loop makes new versions; not once the cache's planes are used up.
    """

    def __init__(
        self,
        active: Active,
        versions: Versions,
        planes: dict[int, PlaneLayer] | None = None,
        plane: int = 0,
        refresh: bool = True,
    ) -> None:
        self.active = active
        self.before = versions
        self.after: Versions = {}
        self.planes = planes
        self.plane = plane
        self.refresh = refresh

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Take in (R, heads, C, D) keys and values; return the (R, heads, S + T, D) that the layer attends to."""
        active = self.active
        if not self.refresh:
            keys, values = self.after[layer_idx] = self.before[layer_idx]
            rows = (
                (keys, values) if active.rows is None else tuple(t.index_select(0, active.rows) for t in (keys, values))
            )
        elif layer_idx in self.before:
            old_keys, old_values = self.before[layer_idx]
            (keys, key_rows), (values, value_rows) = active.merge(old_keys, keys), active.merge(old_values, values)
            self.after[layer_idx], rows = (keys, values), (key_rows, value_rows)
        else:
            self.after[layer_idx] = rows = (keys, values)
        if self.planes is None:
            return rows[0], rows[1]
        layer = self.planes[layer_idx]
        if self.refresh:
            keys, values = layer.write(self.plane, keys, values)
        else:
            keys, values = layer.read(self.plane, keys, values)
        if active.rows is None:
            return keys, values
        return keys.index_select(0, active.rows), values.index_select(0, active.rows)


def run(
    layers: Iterable[nn.Module],
    hidden: Tensor,
    view: LoopView | None,
    inputs: dict[str, Any],
    checkpoint: Callable[..., Any] | None = None,
) -> Tensor:
    """(R, C, H) -> (R, C, H) through decoder layers.

    Args:
        layers: In order.
        hidden: (R, C, H).
        view: What they see as their cache. With one, a layer must not checkpoint itself: under gradient checkpointing a
            transformers layer throws its cache away in silence.
        inputs: Their keyword arguments.
        checkpoint: Recomputes a layer in the backward pass; None if the layers do so themselves, or nobody should.
    """
    for layer in layers:
        if view is not None:
            hidden = nn.Module.__call__(layer, hidden, past_key_values=view, **inputs)
        elif checkpoint is not None:
            hidden = checkpoint(partial(layer, past_key_values=None, **inputs), hidden)
        else:
            hidden = layer(hidden, past_key_values=None, **inputs)
    return hidden
