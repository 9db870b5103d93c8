"""Halting at a fixed point: a token stops when its own latent state has settled (FPRM, arXiv 2606.18206).

Two departures from FPRM's code, which stops a batch when its slowest sequence has settled: here every token stops by
itself, and the residual is relative to the smallest state of the pass, so that a state that keeps growing is not taken
for a settled one (:meth:`~vpo.looped.depth.policy.Halter.measure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vpo.looped.depth.policy import Halter, LoopCall, LoopStep, Norm, check_counts
from vpo.looped.depth.trace import HaltReason


@dataclass(frozen=True)
class FixedPoint:
    """Stop once a pass of the core changes the state by less than ``tol`` of its size.

    Args:
        tol: Largest residual of a settled state, in (0, inf); 0.03 to 0.1 are usual. ``vpo depth calibrate`` finds the
            one that keeps a given distance to the capped output.
        cap: Most loops.
        min_loops: Fewest loops.
        norm: ``"rms"`` over channels, or ``"max"`` (FPRM's).
        patience: Passes without a new best residual before the step size is reduced; 0 never reduces it. FPRM's 5
            assumes caps in the hundreds.
        damping: Factor of each reduction, in (0, 1).
        step_size: First step size eta, in (0, 1]: the next state is ``eta * new + (1 - eta) * old``. Below 1 a
            state that overshoots settles, at the same fixed point.
        floor: Stop once the step size is below this; above 0 and below ``step_size``.
        reference: ``"smallest"`` or ``"current"`` (FPRM's), what the residual is relative to.
        scope: ``"token"``: a token stops when its own state has settled. ``"prefix"``: not before all tokens to its
            left have stopped, for computations that pass information along the sequence, where a token that waits for
            its neighbours looks settled. Not for several documents packed into one row: they would wait too.

    Raises:
        ValueError: A setting is out of its range.
    """

    tol: float = 0.05
    cap: int = 4
    min_loops: int = 1
    norm: Norm = "rms"
    patience: int = 2
    damping: float = 0.9
    step_size: float = 1.0
    floor: float = 1e-3
    reference: Literal["smallest", "current"] = "smallest"
    scope: Literal["token", "prefix"] = "token"
    kind: ClassVar[str] = "fixed_point"

    def __post_init__(self) -> None:
        check_counts("FixedPoint", self.cap, self.min_loops)
        if not self.tol > 0:
            raise ValueError(
                f"FixedPoint: tol is {self.tol}, expected a number above 0: a residual of exactly 0 is never reached. "
                "Use FixedDepth(cap) to run every loop."
            )
        for name, choices in {
            "norm": ("rms", "max"),
            "reference": ("smallest", "current"),
            "scope": ("token", "prefix"),
        }.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"FixedPoint: {name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}."
                )
        if self.patience < 0:
            raise ValueError(f"FixedPoint: patience is {self.patience}, expected 0 (never damp) or more passes.")
        if not 0 < self.damping < 1:
            raise ValueError(f"FixedPoint: damping is {self.damping}, expected a factor strictly between 0 and 1.")
        if not 0 < self.step_size <= 1:
            raise ValueError(f"FixedPoint: step_size is {self.step_size}, expected a number in (0, 1].")
        if not 0 < self.floor < self.step_size:
            raise ValueError(
                f"FixedPoint: floor is {self.floor} and step_size {self.step_size}, expected 0 < floor < step_size."
            )
        if self.cap > 63 and self.patience:
            raise ValueError(
                f"FixedPoint: cap is {self.cap}, but a damped run of more than 63 loops cannot be recorded for replay. "
                "Set patience=0 (a constant step_size still damps), or a cap of 63 or less."
            )

    def start(self, call: LoopCall) -> Halter:
        """A halter with every token's step size at its start."""
        return _FixedPointHalter(self, call)


class _FixedPointHalter(Halter):
    def __init__(self, policy: FixedPoint, call: LoopCall) -> None:
        super().__init__(call, policy.norm, policy.reference)
        self.policy = policy
        shape, device = call.real.shape, call.real.device
        self.step_size: Tensor | float = policy.step_size
        self._best = torch.full(shape, torch.inf, device=device)
        self._stale = torch.zeros(shape, dtype=torch.int64, device=device)
        self._reduce: Tensor | None = None
        self._is_replayed = False

    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, Tensor]:
        policy = self.policy
        settled = residual < policy.tol
        stop = settled | self._damp(step, residual) if policy.patience else settled
        if step.loop + 1 < policy.min_loops:
            stop = torch.zeros_like(stop)
        if policy.scope == "prefix" and not step.is_last:
            waiting = (step.active & ~stop).long()
            is_first = waiting.cumsum(1) == waiting  # nobody waits to the left
            stop = stop & is_first & (step.loop + 1 >= self.call.past_depth[:, None])
        reason = torch.where(settled, int(HaltReason.CONVERGED), int(HaltReason.DAMPING_FLOOR)).to(torch.int8)
        return stop, reason

    def _damp(self, step: LoopStep, residual: Tensor) -> Tensor:
        """Reduce the step size of tokens whose residual no longer falls; (B, T) tokens whose step size is spent."""
        better = residual < self._best
        self._best = torch.where(better, residual, self._best)
        self._stale = torch.where(better, 0, self._stale + 1)
        # The step that was just made is not changed in hindsight: a reduction holds from the next pass on.
        self._reduce = (self._stale >= self.policy.patience) & step.active
        self._stale = self._stale.masked_fill(self._reduce, 0)
        self.damping = self.damping | (self._reduce.long() << step.loop)
        following = torch.where(self._reduce, self.step_size * self.policy.damping, self.step_size)
        return following < self.policy.floor

    def follow(self, step: LoopStep) -> None:
        if self._is_replayed:
            self._reduce = ((self.damping >> step.loop) & 1).bool()

    def replay_damping(self, damping: Tensor) -> None:
        self.damping, self._is_replayed = damping, True

    def state(self, step: LoopStep, stop: Tensor) -> Tensor:
        eta = self.step_size
        if self._reduce is not None:
            self.step_size = torch.where(self._reduce, eta * self.policy.damping, eta)
            self._reduce = None
        if isinstance(eta, float):
            return step.new if eta == 1.0 else torch.lerp(step.old, step.new, eta)
        # lerp at 1 gives `new` to the last bit, so tokens that were never damped are not touched.
        return torch.lerp(step.old, step.new, eta.to(step.new).unsqueeze(-1))
