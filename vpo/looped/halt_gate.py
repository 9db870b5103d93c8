"""The gate that learned halting reads."""

from __future__ import annotations

from torch import nn


class HaltGate(nn.Linear):
    """One linear unit on the state; starts reluctant to stop, as learned halting collapses to few loops otherwise.

    Args:
        hidden_size: Width of the state.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size, 1)

    def reset_parameters(self) -> None:
        """No preference among states, and a halting probability of 0.12 a loop."""
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, -2.0)
