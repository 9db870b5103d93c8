"""Halting by the output: a token stops when one more loop no longer changes its next-token distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vpo.looped.depth.policy import Halter, LoopCall, LoopStep, check_counts
from vpo.looped.depth.trace import HaltReason


@dataclass(frozen=True)
class KLExit:
    """Stop once KL(p_t || p_{t-1}) of the next-token distributions falls below a threshold (Huginn, 2502.05171).

    Reads out every loop through coda and head, which costs as much as the layers it saves unless the core is deep; it
    is the yardstick of cheaper rules more than a rule to serve with.

    Args:
        threshold: Nats, above 0.
        cap: Most loops.
        min_loops: Fewest loops; the first comparison is after loop 2.

    Raises:
        ValueError: A setting is out of its range.
    """

    threshold: float = 1e-3
    cap: int = 4
    min_loops: int = 1
    kind: ClassVar[str] = "kl"

    def __post_init__(self) -> None:
        check_counts("KLExit", self.cap, self.min_loops)
        if not self.threshold > 0:
            raise ValueError(f"KLExit: threshold is {self.threshold}, expected nats above 0.")

    def start(self, call: LoopCall) -> Halter:
        """A halter that has seen no distribution yet."""
        return _KLHalter(self, call)


class _KLHalter(Halter):
    def __init__(self, policy: KLExit, call: LoopCall) -> None:
        super().__init__(call)
        self.policy = policy
        self._last: Tensor | None = None

    @torch.no_grad()
    def score(self, step: LoopStep) -> Tensor:
        """(B, T) nats that are compared with the threshold; call it once a loop. Infinite after the first."""
        if step.readout is None:
            raise ValueError(
                "KLExit compares next-token distributions, and the backbone was called without a head: call "
                "LoopedForCausalLM, or replay the recorded depths."
            )
        # A token that has stopped keeps its state in `new`, so its neighbours read it as they will when decoding.
        now = step.readout(step.new).log_softmax(-1)
        last, self._last = self._last, now
        if last is None:
            return torch.full(step.active.shape, torch.inf, device=now.device)
        return (now.exp() * (now - last)).sum(-1)

    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, HaltReason]:
        stop = (self.score(step) < self.policy.threshold) & (step.loop + 1 >= self.policy.min_loops)
        return stop, HaltReason.CONVERGED
