"""A depth policy decides, token by token, how many loops the core runs; all of them through one interface.

A policy is a frozen dataclass of settings. For each forward pass it starts a :class:`Halter`, which sees every loop and
says which tokens stop. Nothing in it may reduce over the batch: what a token gets must not depend on its batch mates.

Shape letters: B sequences, T tokens of this pass, H width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from vpo.looped.depth.trace import HaltReason

Norm = Literal["rms", "max"]


@dataclass(frozen=True)
class LoopCall:
    """One forward pass, as a policy sees it before the first loop.

    Args:
        real: (B, T) bool, false for padding.
        past_depth: (B,) deepest token of each sequence in the cache, 0 without one.
    """

    real: Tensor
    past_depth: Tensor


@dataclass(frozen=True)
class LoopStep:
    """One pass of the core.

    Args:
        loop: Index of the pass, from 0.
        old: (B, T, H) state that went in, fp32 or wider.
        new: (B, T, H) the core's output for it, undamped; for tokens that have stopped, their state.
        active: (B, T) bool, tokens still looping.
        is_last: Whether the cap is reached: all active tokens must stop.
        gate: (B, T, H) state -> (B, T) logits of the model's halting gate; None if it has none.
        readout: (B, T, H) state -> (B, T, V) next-token logits after so many loops; None if no head was given.
    """

    loop: int
    old: Tensor
    new: Tensor
    active: Tensor
    is_last: bool
    gate: Callable[[Tensor], Tensor] | None
    readout: Callable[[Tensor], Tensor] | None


class DepthPolicy(Protocol):
    """Settings of a rule for the number of loops."""

    kind: ClassVar[str]

    @property
    def cap(self) -> int:
        """Most loops any token can get."""

    def start(self, call: LoopCall) -> Halter:
        """The rule at work on one forward pass."""


class Halter:
    """A rule at work on one forward pass. The base class never stops a token before the cap.

    Args:
        call: The pass.
        norm: ``"rms"`` over channels, or ``"max"``, of the residual.
        reference: What the residual is relative to; see :meth:`measure`.
    """

    #: Loops of each token if they are known beforehand, (B, T) or (B, 1); None if they are decided on the way.
    planned: Tensor | None = None
    #: (B, T) or (B, 1) index of the first pass with a gradient; None if all have one.
    gradient_from: Tensor | None = None

    def __init__(
        self, call: LoopCall, norm: Norm = "rms", reference: Literal["smallest", "current"] = "current"
    ) -> None:
        self.call = call
        self.norm = norm
        self.reference = reference
        self.damping = torch.zeros_like(call.real, dtype=torch.int64)
        self._smallest: Tensor | None = None

    @torch.no_grad()
    def measure(self, old: Tensor, new: Tensor) -> Tensor:
        """Residual of one pass, (B, T): the size of the change relative to the size of the state.

        With ``reference="smallest"`` the state's size is the smallest one seen so far in this pass, the new one
        included. A state that keeps growing makes the change *relative to itself* fall like 1/t while it settles
        nowhere; relative to where it began, the change does not fall. ``"current"`` is FPRM's own formula (2606.18206).
        """
        change, size = state_size(new - old, self.norm), state_size(new, self.norm)
        if self.reference == "smallest":
            self._smallest = size if self._smallest is None else torch.minimum(self._smallest, size)
            size = self._smallest
        return change / (size + 1e-8)

    def advance(
        self, step: LoopStep, residual: Tensor, forced: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | HaltReason]:
        """Decide after one pass.

        Args:
            step: The pass.
            residual: (B, T), from :meth:`measure`.
            forced: (B, T) tokens that stop now, whatever the rule says (replay).

        Returns:
            (B, T, H) next state, (B, T) tokens that stop now, and why: a reason, or an int8 tensor (B, T) of them.
        """
        reason: Tensor | HaltReason
        if forced is not None:
            self.follow(step)
            stop, reason = forced, HaltReason.CAP
        else:
            stop, reason = self.decide(step, residual)
            if step.is_last:
                own = torch.as_tensor(reason, dtype=torch.int8, device=stop.device)
                reason = torch.where(stop, own, int(HaltReason.CAP)).to(torch.int8)
                stop = step.active
        return self.state(step, stop), stop & step.active, reason

    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, Tensor | HaltReason]:
        """Tokens that the rule stops after this pass, and why."""
        return torch.zeros_like(step.active), HaltReason.CAP

    def follow(self, step: LoopStep) -> None:
        """Take note of a pass whose stops are prescribed."""

    def replay_damping(self, damping: Tensor) -> None:
        """Reduce step sizes where ``damping`` (B, T) says, a record of an earlier run.

        Raises:
            ValueError: The rule takes no smaller steps.
        """
        raise ValueError("this rule takes no smaller steps")

    def state(self, step: LoopStep, stop: Tensor) -> Tensor:
        """(B, T, H) state after the pass, for the tokens that were active."""
        return step.new


def state_size(state: Tensor, norm: Norm) -> Tensor:
    """(B, T, H) -> (B, T), in fp32 or wider: half precision cannot tell a change of under one per cent from none."""
    wide = state if state.dtype == torch.float64 else state.float()
    return wide.abs().amax(-1) if norm == "max" else wide.square().mean(-1).sqrt()


def check_counts(name: str, cap: int, min_loops: int = 1) -> None:
    """Refuse a cap or minimum that makes no sense.

    Raises:
        ValueError: Not 1 <= min_loops <= cap.
    """
    if not isinstance(cap, int) or isinstance(cap, bool) or cap < 1:
        raise ValueError(f"{name}: cap is {cap!r}, expected a whole number of loops, 1 or more.")
    if not isinstance(min_loops, int) or isinstance(min_loops, bool) or not 1 <= min_loops <= cap:
        raise ValueError(
            f"{name}: min_loops is {min_loops!r} and cap is {cap}, expected 1 <= min_loops <= cap. Raise the cap or "
            "lower min_loops."
        )


def to_dict(policy: DepthPolicy) -> dict[str, Any]:
    """The policy as JSON, for a model's configuration; :func:`vpo.looped.depth.from_dict` reads it back."""
    return {"kind": policy.kind, **asdict(policy)}  # type: ignore[call-overload]
