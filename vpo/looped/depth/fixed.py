"""Depths that are known before the first loop: the same for all, drawn at random, or recorded earlier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from vpo.looped.depth.policy import DepthPolicy, Halter, LoopCall, LoopStep
from vpo.looped.depth.trace import DepthTrace, HaltReason


@dataclass(frozen=True)
class FixedDepth:
    """The same number of loops for every token.

    Raises:
        ValueError: ``num_loops`` is below 1.
    """

    num_loops: int
    kind: ClassVar[str] = "fixed"

    def __post_init__(self) -> None:
        if not isinstance(self.num_loops, int) or self.num_loops < 1:
            raise ValueError(f"num_loops is {self.num_loops}: expected 1 or more.")

    @property
    def cap(self) -> int:
        """``num_loops``."""
        return self.num_loops

    def start(self, call: LoopCall) -> Halter:
        """A halter that stops nobody before the cap."""
        return Halter(call)


@dataclass(frozen=True)
class RandomDepth:
    """A depth for each sequence and call; for supervised training, which it makes robust to the number of loops.

    Random depth makes loops beyond the first useful and extra ones neutral instead of harmful (Huginn, 2502.05171);
    drawing it per sequence instead of per batch removes most loss spikes (LoopWM, 2606.18208; Parcae, 2604.12946).
    Drawn from torch's global generator, as dropout is.

    Args:
        low: Fewest loops.
        high: Most loops.
        sampler: ``"uniform"`` on low..high; ``"poisson"`` or ``"lognormal_poisson"`` (Huginn's heavy tail, sigma 0.5)
            around ``mean``, clipped to low..high.
        mean: Mean of the Poisson samplers before clipping; the middle of low..high by default.
        grad_loops: Backpropagate through the last so many loops of each sequence; all by default. Values are those of
            the full depth (truncated backpropagation through time).

    Raises:
        ValueError: Not 1 <= low <= high, an unknown sampler, or a mean or number of gradient loops out of range.
    """

    low: int
    high: int
    sampler: Literal["uniform", "poisson", "lognormal_poisson"] = "uniform"
    mean: float | None = None
    grad_loops: int | None = None
    kind: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise ValueError(f"RandomDepth({self.low}, {self.high}): expected 1 <= low <= high.")
        if self.sampler not in ("uniform", "poisson", "lognormal_poisson"):
            raise ValueError(f"sampler is {self.sampler!r}: expected 'uniform', 'poisson' or 'lognormal_poisson'.")
        if self.mean is not None and not self.low <= self.mean <= self.high:
            raise ValueError(
                f"mean is {self.mean}: expected a number of loops from low={self.low} to high={self.high}."
            )
        if self.grad_loops is not None and self.grad_loops < 1:
            raise ValueError(f"grad_loops is {self.grad_loops}: expected 1 or more, or None for all loops.")

    @property
    def cap(self) -> int:
        """``high``."""
        return self.high

    def draw(self, batch_size: int, device: torch.device) -> Tensor:
        """(B,) loops, int64."""
        if self.sampler == "uniform":
            return torch.randint(self.low, self.high + 1, (batch_size,), device=device)
        mean = (self.low + self.high) / 2 if self.mean is None else float(self.mean)
        rate = torch.full((batch_size,), max(mean - self.low, 1e-3), device=device)
        if self.sampler == "lognormal_poisson":
            sigma = 0.5  # Huginn's; the shift keeps the mean
            rate = rate * torch.exp(sigma * torch.randn(batch_size, device=device) - sigma**2 / 2)
        return (self.low + torch.poisson(rate)).clamp(max=self.high).long()

    def start(self, call: LoopCall) -> Halter:
        """Draw the depths of this pass."""
        drawn = self.draw(call.real.shape[0], call.real.device)
        return _Planned(call, torch.where(call.real, drawn[:, None], 1), self.grad_loops)


class Replay:
    """Depths that were recorded earlier: log-probabilities of sampled tokens, at the depths they were sampled with.

    Args:
        depths: (B, T) loops of each token, 1 or more; what stands at padding does not matter.
        damping: (B, T) int64, the trace's record of step-size reductions; None if there were none.
        policy: The policy that sampled, whose state may be more than the last loop's output (damping, ACT's average).
            By default the model's own.

    Raises:
        ValueError: Not a two-dimensional integer tensor, or ``damping`` of another shape.
    """

    kind: ClassVar[str] = "replay"

    def __init__(self, depths: Tensor, damping: Tensor | None = None, policy: DepthPolicy | None = None) -> None:
        if depths.ndim != 2 or depths.is_floating_point():
            raise ValueError(
                f"depths has shape {tuple(depths.shape)} and type {depths.dtype}: expected integers (B, T), the loops "
                "of each token, as the trace of a forward pass holds them."
            )
        if damping is not None and damping.shape != depths.shape:
            raise ValueError(
                f"damping has shape {tuple(damping.shape)}, depths {tuple(depths.shape)}: expected the same, from one "
                "trace."
            )
        self.depths, self.policy = depths, policy
        self.damping = damping if damping is not None and bool(damping.any()) else None
        self._cap = int(depths.max()) if depths.numel() else 1

    @staticmethod
    def of(trace: DepthTrace) -> Replay:
        """Replay of a whole trace, under the policy that made it."""
        return Replay(trace.depth, trace.damping, trace.policy)

    @property
    def cap(self) -> int:
        """The deepest recorded depth."""
        return max(self._cap, 1)

    def start(self, call: LoopCall) -> Halter:
        """Check that the record fits this pass.

        Raises:
            ValueError: The tokens of the pass are others than the record's, a depth is below 1, or the policy cannot
                have made the record.
        """
        if call.real.shape != self.depths.shape:
            raise ValueError(
                f"replaying depths of shape {tuple(self.depths.shape)} on {tuple(call.real.shape)} tokens: expected "
                "one depth a token of input_ids, prompt and padding included. Slice the record like the tokens."
            )
        depths = torch.where(call.real, self.depths.to(call.real.device), 1)
        if int(depths.min()) < 1:
            raise ValueError(f"depths holds {int(depths.min())}: every token runs at least 1 loop.")
        policy = self.policy or FixedDepth(self.cap)
        inner = policy.start(call)
        if self.damping is not None:
            try:
                inner.replay_damping(self.damping.to(call.real.device))
            except ValueError as error:
                raise ValueError(
                    f"the record has reduced step sizes, and {policy} takes none: replay it with the policy that made "
                    "it: Replay.of(trace), or policy=FixedPoint(...)."
                ) from error
        return _Replayed(call, inner, depths)

    def __repr__(self) -> str:
        return f"Replay(depths={tuple(self.depths.shape)}, cap={self.cap})"


class _Planned(Halter):
    """Stops each token at a depth that is known."""

    def __init__(self, call: LoopCall, planned: Tensor, grad_loops: int | None) -> None:
        super().__init__(call)
        self.planned: Tensor = planned
        self.gradient_from = None if grad_loops is None else planned - grad_loops

    def decide(self, step: LoopStep, residual: Tensor) -> tuple[Tensor, HaltReason]:
        return self.planned == step.loop + 1, HaltReason.CAP


class _Replayed(Halter):
    """The stops of a record, with whatever else the policy does to the state."""

    def __init__(self, call: LoopCall, inner: Halter, planned: Tensor) -> None:
        super().__init__(call)
        self.inner, self.planned, self.damping = inner, planned, inner.damping

    def measure(self, old: Tensor, new: Tensor) -> Tensor:
        return self.inner.measure(old, new)

    def advance(self, step: LoopStep, residual: Tensor, forced: Tensor | None = None) -> Any:
        assert self.planned is not None
        return self.inner.advance(step, residual, forced=self.planned == step.loop + 1)
