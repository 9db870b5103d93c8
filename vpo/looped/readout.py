"""The next-token distribution after every loop, for depth policies that look at the output.

Runs coda, norm and head on intermediate states. Like the core's, the coda's keys and values of a token that has stopped
stay at the version it stopped with, so a policy decides alike in one parallel pass and token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vpo.looped.active import Active
from vpo.looped.cache import LoopedCache
from vpo.looped.layer_inputs import LayerInputs
from vpo.looped.views import LoopView, Versions, run


class Readout:
    """Reads out one forward pass; call it once for each loop, in order.

    Args:
        coda: The last layers.
        first_layer: Index of the first of them.
        norm: Final norm.
        head: (B, T, H) -> (B, T, V) logits.
        cache: Earlier tokens, or None.
        inputs: Of the layers.
        dtype: Of the hidden states.
    """

    def __init__(
        self,
        coda: Sequence[nn.Module],
        first_layer: int,
        norm: nn.Module,
        head: Callable[[Tensor], Tensor],
        cache: LoopedCache | None,
        inputs: LayerInputs,
        dtype: torch.dtype,
    ) -> None:
        self.coda, self.first_layer, self.norm, self.head = coda, first_layer, norm, head
        self.cache, self.inputs, self.dtype = cache, inputs, dtype
        self._versions: Versions = {}

    def __call__(self, state: Tensor, active: Tensor, loop: int) -> Tensor:
        """Logits (B, T, V), fp32 or wider, of the state (B, T, H) after loop ``loop``; ``active`` (B, T) ran it."""
        planes = None
        if self.cache is not None:
            planes = {self.first_layer + i: self.cache.readout_layer(i) for i in range(len(self.coda))}
        chosen = Active() if loop == 0 else Active(active)
        view = LoopView(chosen, self._versions, planes, plane=loop)
        hidden = run(self.coda, state.to(self.dtype), view, self.inputs.keywords())
        self._versions = view.after
        logits = self.head(self.norm(hidden))
        return logits if logits.dtype == torch.float64 else logits.float()
