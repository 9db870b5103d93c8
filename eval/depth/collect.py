"""Gather a depth report's raw numbers batch by batch: nothing of the model's width is kept, so memory stays bounded.

Shape letters: R loops, K stopping rules, B sequences, T tokens, N counted tokens of all batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from eval.depth.attention import attention_change, head_similarity
from eval.depth.batches import PassageBatch
from eval.depth.probe import DepthProbe, Trajectory
from eval.depth.readings import Readings, read_outputs
from vpo.looped.stability import (
    DiversitySample,
    Dynamics,
    dynamics,
    fresh_start_distance,
    spectral_norm,
    spectral_radius,
    stable_step_size,
)


@dataclass(frozen=True)
class Plan:
    """What is measured, and how thoroughly.

    Args:
        loops: R, at least 2; go past the trained depth to see what more loops would do.
        cap: Loop that divergences are measured to, and cap of the stopping rules; 1 to R.
        tols: Tolerances of the calibration curve, ascending.
        target_kl: Nats a token that stopping early may cost.
        slack: Nats a token that count as nothing, for the sweet spot.
        jacobian_loops: Loops after which the Jacobian is looked at; none with ().
        jacobian_tokens: First tokens of one sequence that it is computed on: cost grows with them.
        attention_tokens: First tokens of two sequences whose attention is compared; 0 for none.
        draws: Resamples of the intervals.
        seed: Of draws and fresh starts.

    Raises:
        ValueError: A number is out of its range.
    """

    loops: int
    cap: int
    tols: tuple[float, ...]
    target_kl: float = 0.01
    slack: float = 0.01
    jacobian_loops: tuple[int, ...] = ()
    jacobian_tokens: int = 48
    attention_tokens: int = 96
    draws: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loops < 2 or not 1 <= self.cap <= self.loops:
            raise ValueError(
                f"loops is {self.loops} and cap {self.cap}: expected 2 loops or more, and a cap among them. Run more "
                "loops (--loops), or lower the cap (--cap)."
            )
        if not self.tols or any(not tol > 0 for tol in self.tols) or list(self.tols) != sorted(set(self.tols)):
            raise ValueError(
                f"tols is {self.tols}: expected one tolerance or more, above 0, ascending and each once. Sort them."
            )
        if any(not 1 <= loop <= self.loops for loop in self.jacobian_loops):
            raise ValueError(
                f"jacobian_loops is {self.jacobian_loops}: expected loops from 1 to {self.loops}, those that are run."
            )
        if not self.target_kl > 0:
            raise ValueError(f"target_kl is {self.target_kl}: expected nats a token above 0. Use 0.01.")

    def up_to(self, loops: int) -> Plan:
        """The same with fewer loops: 2 or more, to which the cap and the Jacobians are moved down."""
        looked_at = tuple(sorted({min(loop, loops) for loop in self.jacobian_loops}))
        return replace(self, loops=loops, cap=min(self.cap, loops), jacobian_loops=looked_at)


@dataclass(frozen=True)
class LocalNumbers:
    """The loop's Jacobian after one loop; fields as in :class:`eval.depth.record.JacobianRecord`."""

    loop: int
    norm: float
    norm_change: float
    radius: float
    radius_change: float
    step_size: float


@dataclass(frozen=True)
class Collected:
    """Raw numbers of all batches. The N tokens stand in one order everywhere.

    Args:
        loops: (R, N) readings of every loop.
        rules: (K, N) readings of every stopping rule: the tolerances', then the model's own.
        depths: (K, N) loops that each rule gave.
        capped: (K, N) bool, where the cap stopped an unsettled token.
        owner: (N,) number of each token's sequence.
        positions: (N,) place of each token in its sequence, from 0.
        kinds: Format of each sequence.
        difficulties: Difficulty of each sequence, empty where nobody said.
        per_loop: Names of dynamics and diversity to R means.
        by_token: Names of dynamics to (R, N) numbers, NaN where undefined.
        contraction: Geometric mean of the directional contraction.
        local: Jacobians.
    """

    loops: Readings
    rules: Readings
    depths: Tensor
    capped: Tensor
    owner: Tensor
    positions: Tensor
    kinds: list[str]
    difficulties: list[str]
    per_loop: dict[str, list[float]]
    by_token: dict[str, Tensor]
    contraction: float
    local: list[LocalNumbers]


#: Dynamics that the page shows with intervals.
SHOWN = ("step_size", "residual", "scale_free_residual", "cosine", "contraction", "norm_growth")


def collect(
    probe: DepthProbe, batches: Sequence[PassageBatch], plan: Plan, progress: Callable[[str], None] = lambda what: None
) -> Collected:
    """Run the model on all batches.

    Args:
        probe: The model.
        batches: From :func:`~eval.depth.batches.passage_batches`.
        plan: What to measure.
        progress: Called with what is about to be done.

    Raises:
        ValueError: There is no batch.
    """
    if not batches:
        raise ValueError("there is no batch: expected one at least. Give text of two tokens or more.")
    loops, rules, depths, capped, moves, owners, positions = [], [], [], [], [], [], []
    sample = DiversitySample()
    kinds: list[str] = []
    difficulties: list[str] = []
    for number, batch in enumerate(batches, start=1):
        progress(f"batch {number} of {len(batches)}")
        trajectory = probe.trajectory(batch.ids, batch.mask, plan.loops)
        counts = batch.counts
        exits = [probe.exits(batch.ids, batch.mask, trajectory, tol, plan.cap) for tol in (*plan.tols, None)]
        targets = batch.ids.roll(-1, dims=1)[counts]
        outputs = [each[counts] for each in trajectory.outputs]
        found = read_outputs(outputs, [each.outputs[counts] for each in exits], targets, plan.cap, probe.logits)
        loops.append(found[0])
        rules.append(found[1])
        depths.append(torch.stack([each.depths[counts] for each in exits]).cpu())
        capped.append(torch.stack([each.capped[counts] for each in exits]).cpu())
        moves.append(_of_tokens(dynamics(trajectory.states, counts), counts))
        sample.add(trajectory.states[1:], counts)
        places = counts.nonzero()
        owners.append(places[:, 0].cpu() + len(kinds))
        positions.append(places[:, 1].cpu())
        kinds += batch.kinds
        difficulties += batch.difficulties
    joined = Dynamics.join(moves)
    per_loop = {**joined.per_loop(), **sample.per_loop()}
    local = _look_closer(probe, batches, plan, per_loop, progress)
    return Collected(
        loops=Readings.join(loops),
        rules=Readings.join(rules),
        depths=torch.cat(depths, 1),
        capped=torch.cat(capped, 1),
        owner=torch.cat(owners),
        positions=torch.cat(positions),
        kinds=kinds,
        difficulties=difficulties,
        per_loop=per_loop,
        by_token={name: getattr(joined, name).flatten(1).double() for name in SHOWN},
        contraction=joined.mean_contraction(),
        local=local,
    )


def _of_tokens(moves: Dynamics, counts: Tensor) -> Dynamics:
    """(R, B, T) -> (R, 1, n) of the tokens that count, in the order of ``counts.nonzero()``."""
    return Dynamics(*(each[:, counts].cpu().unsqueeze(1) for each in vars(moves).values()))


def _look_closer(
    probe: DepthProbe,
    batches: Sequence[PassageBatch],
    plan: Plan,
    per_loop: dict[str, list[float]],
    progress: Callable[[str], None],
) -> list[LocalNumbers]:
    """What is too dear for all tokens: attention, fresh starts and the Jacobian, on the longest sequences."""
    batch = max(batches, key=lambda each: int(each.mask.sum(1).max()))
    longest = batch.mask.sum(1).argsort(descending=True, stable=True)
    if plan.attention_tokens > 1:
        progress("attention")
        few = longest[:2]
        ids, mask = batch.ids[few, : plan.attention_tokens], batch.mask[few, : plan.attention_tokens]
        weights = probe.attention(ids, mask, plan.loops)
        if weights is not None:
            per_loop["attention_change"] = attention_change(weights, mask)
            per_loop["head_similarity"] = head_similarity(weights, mask)
    ids, mask = batch.ids[longest[:1], : plan.jacobian_tokens], batch.mask[longest[:1], : plan.jacobian_tokens]
    trajectory = probe.trajectory(ids, mask, plan.loops)
    step = probe.loop(ids, mask)
    progress("fresh starts")
    per_loop["fresh_start_distance"] = _fresh_starts(probe, step, trajectory, mask, plan)
    local = []
    for loop in plan.jacobian_loops:
        state = trajectory.states[loop]
        if bool(state[mask].isfinite().all()):
            progress(f"Jacobian after loop {loop}")
            with _one_thread():
                local.append(_local(step, state, mask, loop))
    return local


@contextmanager
def _one_thread() -> Iterator[None]:
    """Half a hundred tokens are too few to share: on a busy machine two threads took ten times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _fresh_starts(
    probe: DepthProbe, step: Callable[[Tensor], Tensor], trajectory: Trajectory, mask: Tensor, plan: Plan
) -> list[float]:
    first, other = trajectory.states[1], probe.fresh_start(trajectory, plan.seed)
    apart = fresh_start_distance(step, first, other, plan.loops - 1, mask)
    return apart.flatten(1).double().nanmean(1).tolist()


def _local(step: Callable[[Tensor], Tensor], state: Tensor, mask: Tensor, loop: int) -> LocalNumbers:
    # Fewer iterations than the estimators' defaults: they say how far they had settled, and the report shows it.
    norm = spectral_norm(step, state, mask=mask, steps=15, restarts=1, tol=1e-3)
    radius = spectral_radius(step, state, mask=mask, dimension=20, steps=6)
    eigenvalues = torch.tensor(radius.eigenvalues)
    known = bool(eigenvalues.isfinite().all())
    return LocalNumbers(
        loop=loop,
        norm=norm.value,
        norm_change=norm.change,
        radius=radius.value,
        radius_change=radius.change,
        step_size=stable_step_size(eigenvalues) if known else math.nan,
    )
