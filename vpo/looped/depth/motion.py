"""Halting by motion: a token stops when its state no longer moves, or no longer changes how it moves.

With the steps d_t = z_t - z_{t-1} of one token's state: the *latent difference* |d_t| (Ouro, arXiv 2510.25741, and in
relative form Huginn, 2502.05171) and the *acceleration* |d_t - d_{t-1}| (Pappone et al., 2509.23314, who stop at the
second small one in a row). Both are cheap, read neither gate nor head, and never change the state. Departure from the
papers: | | is the root mean square over channels, their L2 norm over the square root of the width, so that a threshold
means the same at every width.

What they cannot see: a state that drifts in a straight line has no acceleration, and one that turns slowly has little;
:class:`~vpo.looped.depth.FixedPoint` with the reference ``"smallest"`` is fooled by neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vpo.looped.depth.policy import Halter, LoopCall, LoopStep, check_counts, state_size
from vpo.looped.depth.trace import HaltReason


@dataclass(frozen=True)
class LatentDifference:
    """Stop once a loop moves the state by less than ``threshold``.

    Args:
        threshold: Root mean square over channels of the step, above 0; in units of the state if not ``relative``.
        cap: Most loops.
        min_loops: Fewest loops.
        hits: Loops in a row that must be below the threshold.
        relative: Divide by the size of the new state, as Huginn does (0.03 there); a state that grows then seems to
            slow down.

    Raises:
        ValueError: A setting is out of its range.
    """

    threshold: float = 0.03
    cap: int = 4
    min_loops: int = 1
    hits: int = 1
    relative: bool = False
    kind: ClassVar[str] = "latent_difference"

    def __post_init__(self) -> None:
        _check(self)

    def start(self, call: LoopCall) -> Halter:
        """A halter that has seen no step yet."""
        return _MotionHalter(self, call)


@dataclass(frozen=True)
class Acceleration:
    """Stop once successive steps of the state differ by less than ``threshold``.

    Args:
        threshold: Root mean square over channels of d_t - d_{t-1}, above 0; in units of the state if not ``relative``.
        cap: Most loops.
        min_loops: Fewest loops; the first comparison is after loop 2.
        hits: Loops in a row that must be below the threshold; 2 in the paper.
        relative: Divide by the size of the new state.

    Raises:
        ValueError: A setting is out of its range.
    """

    threshold: float = 0.03
    cap: int = 4
    min_loops: int = 1
    hits: int = 2
    relative: bool = False
    kind: ClassVar[str] = "acceleration"

    def __post_init__(self) -> None:
        _check(self)

    def start(self, call: LoopCall) -> Halter:
        """A halter that has seen no step yet."""
        return _MotionHalter(self, call)


class _MotionHalter(Halter):
    """Counts, for each token, the loops in a row whose motion is below the threshold."""

    def __init__(self, policy: LatentDifference | Acceleration, call: LoopCall) -> None:
        super().__init__(call)
        self.policy = policy
        self._last: Tensor | None = None
        self._hits = torch.zeros_like(call.real, dtype=torch.int64)

    @torch.no_grad()
    def score(self, step: LoopStep) -> Tensor:
        """(B, T) what is compared with the threshold after this loop; call it once a loop. Infinite if unknown yet."""
        change = step.new - step.old
        if isinstance(self.policy, Acceleration):
            last, self._last = self._last, change
            if last is None:
                return torch.full(step.active.shape, torch.inf, device=change.device)
            change = change - last
        size = state_size(change, "rms")
        return size / (state_size(step.new, "rms") + 1e-8) if self.policy.relative else size

    @torch.no_grad()
    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, HaltReason]:
        still = self.score(step) < self.policy.threshold
        self._hits = torch.where(still, self._hits + 1, 0)
        stop = (self._hits >= self.policy.hits) & (step.loop + 1 >= self.policy.min_loops)
        return stop, HaltReason.CONVERGED


def _check(policy: LatentDifference | Acceleration) -> None:
    name = type(policy).__name__
    check_counts(name, policy.cap, policy.min_loops)
    if not policy.threshold > 0:
        raise ValueError(
            f"{name}: threshold is {policy.threshold}, expected a number above 0: no state stands entirely still. Use "
            "FixedDepth(cap) to run every loop."
        )
    if not isinstance(policy.hits, int) or isinstance(policy.hits, bool) or policy.hits < 1:
        raise ValueError(f"{name}: hits is {policy.hits!r}, expected a whole number of loops in a row, 1 or more.")
