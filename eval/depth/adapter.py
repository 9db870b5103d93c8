"""Looped models of other makes, through one probe: five functions say what such a model is made of.

Stopping is *simulated*: the trajectory is run at full depth and each token read off where its residual first fell below
the tolerance. Those models run all loops anyway (Ouro), or their batch to its slowest row (Huginn), so there is no
state of "its neighbour had stopped" to be faithful to; with another cache their numbers would differ.
:mod:`eval.depth.mappings` has the functions for Huginn and Ouro.

Shape letters: R loops, B sequences, T tokens, H width, N tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from eval.depth.probe import Exits, Map, Trajectory
from vpo.looped.depth import Halter, LoopCall


@dataclass(frozen=True)
class LoopMapping:
    """What a looped model is made of.

    Args:
        kind: Name of the make.
        begin: (B, T) tokens -> whatever the other functions need, prelude included.
        start: That, and a seed -> (B, T, H) state before the first loop.
        step: That, the state (B, T, H), and the number t of the loop from 0 -> the state after it; differentiable.
        read: That, and a state -> (B, T, H) what the head reads, norms and coda included.
        logits: (N, H) -> (N, V).
        trained_loops: Depth of its training.
        setting: Its setting for the number of loops, as in ``model.generate(num_steps=...)``.
        has_random_start: Whether ``start`` depends on the seed.
        notes: What limits numbers that are measured on it.
    """

    kind: str
    begin: Callable[[Tensor], Any]
    start: Callable[[Any, int], Tensor]
    step: Callable[[Any, Tensor, int], Tensor]
    read: Callable[[Any, Tensor], Tensor]
    logits: Callable[[Tensor], Tensor]
    trained_loops: int
    setting: str
    has_random_start: bool = False
    notes: Sequence[str] = field(default=())


class AdaptedProbe:
    """Probe of a model that a mapping describes. Attention is causal and sees no padding mask: pad on the right.

    Args:
        mapping: The model's functions.
        seed: Of the state before the first loop, where it is drawn.
        trained_loops: Deepest loop of its training, if the mapping is wrong about it.
    """

    is_adaptive = False

    def __init__(self, mapping: LoopMapping, seed: int = 0, trained_loops: int | None = None) -> None:
        self.mapping, self.seed, self.kind = mapping, seed, mapping.kind
        self.trained_loops = mapping.trained_loops if trained_loops is None else trained_loops
        self.own_rule = f"{self.trained_loops} loops for every token ({mapping.setting})"
        drawn = (f"The first state is drawn, here from seed {seed}: another one gives other numbers.",)
        self.notes: tuple[str, ...] = (
            "Stopping is simulated on the full-depth trajectory: this model has no cache of stopped tokens.",
            *(drawn if mapping.has_random_start else ()),
            *mapping.notes,
        )

    @torch.no_grad()
    def trajectory(self, ids: Tensor, mask: Tensor, loops: int) -> Trajectory:
        """As :meth:`eval.depth.DepthProbe.trajectory`.

        Raises:
            ValueError: A real token stands after padding.
        """
        begun = self._begin(ids, mask)
        states = [self.mapping.start(begun, self.seed)]
        for t in range(loops):
            states.append(self.mapping.step(begun, states[-1], t))
        outputs = [self.mapping.read(begun, state) for state in states[1:]]
        return Trajectory([state.float() for state in states], outputs)

    @torch.no_grad()
    def logits(self, outputs: Tensor) -> Tensor:
        """As :meth:`eval.depth.DepthProbe.logits`."""
        made = self.mapping.logits(outputs)
        return made if made.dtype == torch.float64 else made.float()

    @torch.no_grad()
    def exits(self, ids: Tensor, mask: Tensor, trajectory: Trajectory, tol: float | None, cap: int) -> Exits:
        """As :meth:`eval.depth.DepthProbe.exits`, read off the trajectory."""
        if tol is None:
            depths = torch.where(mask, min(self.trained_loops, len(trajectory.outputs)), 1)
            capped = torch.zeros_like(mask)
        else:
            depths, capped = settled_depths(trajectory.states, mask, tol, cap)
        outputs = torch.stack(list(trajectory.outputs[: int(depths.max())]))
        where = (depths - 1)[None, ..., None].expand(1, *trajectory.outputs[0].shape)
        return Exits(depths, capped, outputs.gather(0, where).squeeze(0))

    def loop(self, ids: Tensor, mask: Tensor) -> Map:
        """As :meth:`eval.depth.DepthProbe.loop`; later loops are taken to be the same map as the second."""
        with torch.no_grad():
            begun = self._begin(ids, mask)
        return lambda state: self.mapping.step(begun, state, 1)

    def fresh_start(self, trajectory: Trajectory, seed: int) -> Tensor:
        """Normal numbers, of the size of the first loop's output token by token."""
        first = trajectory.states[1]
        drawn = torch.randn(first.shape, generator=torch.Generator().manual_seed(seed)).to(first)
        return drawn * first.square().mean(-1, keepdim=True).sqrt()

    def attention(self, ids: Tensor, mask: Tensor, loops: int) -> Tensor | None:
        """None: fused attention kernels do not give their weights away."""
        return None

    def settings(self, change: str, **values: Any) -> dict[str, Any]:
        """As :meth:`eval.depth.DepthProbe.settings`: the number of loops is all that these models let one set."""
        if change in ("cap", "halt", "damp"):
            return {self.mapping.setting: values["cap"]}
        return {}

    def _begin(self, ids: Tensor, mask: Tensor) -> Any:
        if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            raise ValueError(
                "a sequence has a real token after padding, and this model's attention would see the padding: expected "
                "padding on the right. Pad that way, or pass sequences one by one."
            )
        return self.mapping.begin(ids)


def settled_depths(states: Sequence[Tensor], mask: Tensor, tol: float, cap: int) -> tuple[Tensor, Tensor]:
    """Where the residual of each token first falls below a tolerance.

    The residual is that of :class:`~vpo.looped.FixedPoint`, relative to the smallest state so far: one that keeps
    growing is not taken for settled.

    Args:
        states: At least ``cap`` + 1 tensors (B, T, H), the one before the first loop first.
        mask: (B, T) bool; padding gets depth 1.
        tol: Tolerance.
        cap: Most loops.

    Returns:
        (B, T) depths, and (B, T) bool where the cap stopped an unsettled token.

    Raises:
        ValueError: There are too few states.
    """
    if len(states) <= cap:
        raise ValueError(f"there are {len(states)} states: expected {cap + 1} or more for a cap of {cap}. Run more.")
    halter = Halter(LoopCall(mask, torch.zeros(len(mask), dtype=torch.long, device=mask.device)), reference="smallest")
    depths, open_ = torch.full_like(mask, cap, dtype=torch.int64), mask.clone()
    for t in range(1, cap + 1):
        settles = open_ & (halter.measure(states[t - 1], states[t]) < tol)
        depths, open_ = torch.where(settles, t, depths), open_ & ~settles
    return torch.where(mask, depths, 1), open_
