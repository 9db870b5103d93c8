"""What the depth report asks of a looped model, whoever made it: its state and its output after every loop.

A probe gives *outputs* (what the head reads), not logits: logits of every loop are R x B x T x V numbers, which for a
vocabulary of 49k is gigabytes, so they are made for a few hundred tokens at a time by :meth:`DepthProbe.logits`.

Shape letters: R loops, B sequences, T tokens, H width, N tokens that are looked at, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Trajectory:
    """One pass at full depth.

    Args:
        states: R + 1 states (B, T, H), the one before the first loop first.
        outputs: R tensors (B, T, H), what the head reads after each loop.
    """

    states: Sequence[Tensor]
    outputs: Sequence[Tensor]


@dataclass(frozen=True)
class Exits:
    """What a stopping rule did.

    Args:
        depths: (B, T) loops of each token, int64.
        capped: (B, T) bool, tokens that the cap stopped before they had settled.
        outputs: (B, T, H) what the head reads where each token stopped.
    """

    depths: Tensor
    capped: Tensor
    outputs: Tensor


class DepthProbe(Protocol):
    """A looped model, as the depth report sees it.

    Attributes:
        kind: ``"vpo"``, ``"huginn"``, ``"ouro"``, or a name of your own.
        trained_loops: Deepest loop of its training, as far as the checkpoint tells.
        own_rule: How the model itself decides its depth, in words.
        is_adaptive: Whether tokens may get different depths by that rule.
        notes: What limits numbers that are measured through it, in sentences.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 (the class's docstring says it)
    @property
    def trained_loops(self) -> int: ...  # noqa: D102
    @property
    def own_rule(self) -> str: ...  # noqa: D102
    @property
    def is_adaptive(self) -> bool: ...  # noqa: D102
    @property
    def notes(self) -> Sequence[str]: ...  # noqa: D102

    def trajectory(self, ids: Tensor, mask: Tensor, loops: int) -> Trajectory:
        """States and outputs of R = ``loops`` loops on tokens (B, T), real where ``mask`` (B, T) is true."""
        ...

    def logits(self, outputs: Tensor) -> Tensor:
        """(N, H) outputs -> (N, V) next-token logits, fp32 or wider."""
        ...

    def exits(self, ids: Tensor, mask: Tensor, trajectory: Trajectory, tol: float | None, cap: int) -> Exits:
        """Where each token stops.

        Args:
            ids: (B, T).
            mask: (B, T) bool.
            trajectory: Of the same tokens, at ``cap`` loops or more.
            tol: Residual at which a token stops; None for the model's own rule, which has a cap of its own.
            cap: Most loops.
        """
        ...

    def loop(self, ids: Tensor, mask: Tensor) -> Map:
        """One loop over fixed tokens as a function of the state, (B, T, H) -> (B, T, H), differentiable in it."""
        ...

    def fresh_start(self, trajectory: Trajectory, seed: int) -> Tensor:
        """(B, T, H), another state that the loop might have started from instead of ``trajectory.states[1]``."""
        ...

    def attention(self, ids: Tensor, mask: Tensor, loops: int) -> Tensor | None:
        """(R, layers, B, heads, T, T) attention weights of the core; None if the model does not give them away."""
        ...

    def settings(self, change: str, **values: Any) -> dict[str, Any]:
        """A change of configuration, as this model's settings spell it.

        Args:
            change: ``"cap"``, ``"halt"``, ``"damp"``, ``"scale"`` or ``"train"``.
            **values: ``cap``, ``tol``, ``step_size`` or ``high``, as far as the change needs them.

        Returns:
            Setting to value; empty if the model has no such setting.
        """
        ...
