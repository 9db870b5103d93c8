"""Learned halting: a gate on the state says when to stop. Ouro's exit distribution, LoopWM's sigmoid, and ACT.

All three read the model's ``halt_gate`` (``LoopedConfig(halt_gate=True)``), one linear unit, h_t = sigmoid(w z_t + b).
Their training losses are in :mod:`vpo.looped.depth.losses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vpo.looped.depth.policy import Halter, LoopCall, LoopStep, check_counts
from vpo.looped.depth.trace import HaltReason


@dataclass(frozen=True)
class LearnedGate:
    """Stop when the gate says so.

    Args:
        threshold: In (0, 1).
        cap: Most loops.
        min_loops: Fewest loops.
        rule: ``"cdf"``: the first loop at which the cumulated exit probability 1 - prod(1 - h) reaches the threshold
            (Ouro's Q-exit, 2510.25741); ``"sigmoid"``: the first with h above it (LoopWM, 2606.18208).

    Raises:
        ValueError: A setting is out of its range.
    """

    threshold: float = 0.5
    cap: int = 4
    min_loops: int = 1
    rule: Literal["cdf", "sigmoid"] = "cdf"
    kind: ClassVar[str] = "learned_gate"

    def __post_init__(self) -> None:
        check_counts("LearnedGate", self.cap, self.min_loops)
        if not 0 < self.threshold < 1:
            raise ValueError(f"LearnedGate: threshold is {self.threshold}, expected a probability strictly in (0, 1).")
        if self.rule not in ("cdf", "sigmoid"):
            raise ValueError(f"LearnedGate: rule is {self.rule!r}, expected 'cdf' or 'sigmoid'.")

    def start(self, call: LoopCall) -> Halter:
        """A halter with nothing exited yet."""
        return _GateHalter(self, call)


@dataclass(frozen=True)
class ACT:
    """Adaptive computation time (Graves, 1603.08983): stop when the halting mass is spent, and answer with its mean.

    The state after the last loop is the mean of all loops' states under the halting probabilities, the remainder of the
    mass going to the last one. Keys and values stay those of the loops themselves.

    Args:
        cap: Most loops.
        epsilon: Stop once the mass is within this of 1, in (0, 1); Graves uses 0.01.
        min_loops: Fewest loops.

    Raises:
        ValueError: A setting is out of its range.
    """

    cap: int = 4
    epsilon: float = 0.01
    min_loops: int = 1
    kind: ClassVar[str] = "act"

    def __post_init__(self) -> None:
        check_counts("ACT", self.cap, self.min_loops)
        if not 0 < self.epsilon < 1:
            raise ValueError(f"ACT: epsilon is {self.epsilon}, expected a number strictly between 0 and 1.")

    def start(self, call: LoopCall) -> Halter:
        """A halter with all the mass to spend."""
        return _ActHalter(self, call)


class _GateHalter(Halter):
    def __init__(self, policy: LearnedGate, call: LoopCall) -> None:
        super().__init__(call)
        self.policy = policy
        self._survival: Tensor | float = 1.0

    @torch.no_grad()
    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, HaltReason]:
        halt = _gate(step).sigmoid()
        self._survival = self._survival * (1 - halt)
        mass = 1 - self._survival if self.policy.rule == "cdf" else halt
        stop = mass >= self.policy.threshold
        return (stop if step.loop + 1 >= self.policy.min_loops else torch.zeros_like(stop)), HaltReason.CONVERGED


class _ActHalter(Halter):
    """Also sums the ponder cost: ``remainder`` (B, T) has a gradient, and so has ``rho = loops + remainder``."""

    def __init__(self, policy: ACT, call: LoopCall) -> None:
        super().__init__(call)
        self.policy = policy
        nothing = torch.zeros(call.real.shape, device=call.real.device)
        self._mass: Tensor = nothing
        self._halt: Tensor = nothing
        self._mean: Tensor = nothing.unsqueeze(-1)
        self.remainder: Tensor = nothing

    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, HaltReason]:
        self.follow(step)
        stop = (self._mass + self._halt).detach() >= 1 - self.policy.epsilon
        return (stop if step.loop + 1 >= self.policy.min_loops else torch.zeros_like(stop)), HaltReason.CONVERGED

    def follow(self, step: LoopStep) -> None:
        self._halt = _gate(step).sigmoid()

    def state(self, step: LoopStep, stop: Tensor) -> Tensor:
        rest = 1 - self._mass
        share = torch.where(stop, rest, self._halt)
        self._mean = self._mean + share.unsqueeze(-1) * step.new
        self._mass = self._mass + self._halt
        self.remainder = torch.where(stop & step.active, rest, self.remainder)
        return torch.where(stop.unsqueeze(-1), self._mean.to(step.new), step.new)


def _gate(step: LoopStep) -> Tensor:
    if step.gate is None:
        raise ValueError(
            "this depth policy reads a halting gate, and the model has none: build it with "
            "LoopedConfig(halt_gate=True) and train the gate, or use FixedPoint, which needs no training."
        )
    return step.gate(step.new)
