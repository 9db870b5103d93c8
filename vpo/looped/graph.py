"""Parameters that a pass did not use, kept in its graph."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def keep_in_graph(state: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    """Tie parameters to ``state`` with weight 0: their gradient is zero instead of absent.

    Which parameters a pass uses depends on its depths, and so on the process; under DDP every parameter must have a
    gradient on every process. DeepSpeed's ZeRO-3 manages without, and outside its module a parameter is empty there.
    """
    for parameter in parameters:
        if parameter.requires_grad and not hasattr(parameter, "ds_id"):
            state = state + 0.0 * parameter.sum().to(state.dtype)
    return state
