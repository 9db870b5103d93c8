"""When a trained world model stops looping: a tolerance for the fixed point, or a gate that learns it.

The gate is LoopWM's (arXiv 2606.18208): one sigmoid on the state, with its binary entropy as a regulariser, which keeps
it from saturating at "first" or "never". What it minimises is not given there; we take the expected loss over exits
(Ouro, 2510.25741) plus a price for each loop, with the model frozen.

Shape letters: R loops, B sequences, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vpo.looped.depth import FixedDepth, FixedPoint
from vpo.looped.depth.losses import exit_distribution, gate_entropy
from vpo.looped.world.model import LoopedWorldModel
from vpo.looped.world.training import Progress, TrainingPlan, optimise
from vpo.looped.world.transitions import Transitions


def gate_loss(loop_losses: Tensor, gate_logits: Tensor, mask: Tensor, loop_cost: float, entropy: float) -> Tensor:
    """Expected loss over exits, in units of the mean loss after the last loop, plus the price of the loops.

    Args:
        loop_losses: (R, B, T), detached.
        gate_logits: (R, B, T).
        mask: (B, T) steps that count.
        loop_cost: Price of a loop, as a share of the mean loss.
        entropy: Weight of the gate's binary entropy (LoopWM's alpha), in the same unit.
    """
    share = exit_distribution(gate_logits)
    loops = torch.arange(1, len(share) + 1, dtype=share.dtype, device=share.device).view(-1, 1, 1)
    unit = (loop_losses[-1] * mask).sum() / mask.sum()
    each = (share * (loop_losses / unit + loop_cost * loops)).sum(0)
    return (each * mask).sum() / mask.sum() - entropy * gate_entropy(gate_logits, mask)


def fit_gate(
    model: LoopedWorldModel,
    data: Transitions,
    plan: TrainingPlan,
    loop_cost: float = 0.05,
    entropy: float = 0.1,
    folder: Path | str | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Teach the halting gate of a trained model, in place; all other weights stay as they are.

    Args:
        model: Trained.
        data: Windows, best others than the model was trained on: there its loss is lower than elsewhere.
        plan: How; ``see`` as in training.
        loop_cost: Price of a loop, as a share of the mean loss after ``max_loops``: the dial of the mean depth.
        entropy: Weight of the gate's binary entropy, in the unit of the loss as well; at 0.01 one gate in four ended
            at "never" (`benchmarks/world_model.py`).
        folder: For checkpoints, as in :func:`~vpo.looped.world.train`.
        progress: Called after each update.

    Returns:
        The loss of each update.
    """
    data = data.to(model.device)

    def loss(batch: Transitions) -> Tensor:
        see = (torch.rand(batch.mask.shape) < plan.see).to(batch.mask.device)
        cap = FixedDepth(model.config.max_loops)
        with torch.no_grad():
            targets = (batch.observations, batch.actions, batch.rewards, batch.continues, batch.mask, see)
            out = model(*targets, depth_policy=cap, output_loop_losses=True)
        logits = model.core.halt_gate(out.gate_inputs).squeeze(-1)
        return gate_loss(out.loop_losses, logits, batch.mask, loop_cost, entropy)

    trained = {name: each for name, each in model.named_parameters() if "halt_gate" in name}
    return optimise(trained, loss, data, plan, None if folder is None else Path(folder) / "gate.pt", progress)


@torch.no_grad()
def choose_tolerance(
    model: LoopedWorldModel,
    data: Transitions,
    slack: float = 0.02,
    tolerances: Sequence[float] = (0.3, 0.2, 0.14, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01),
) -> FixedPoint:
    """The loosest fixed-point rule whose rollouts are within ``slack`` of those at ``max_loops``.

    Args:
        model: Trained.
        data: Held-out windows, rolled out from their first observations.
        slack: Rise of the mean loss that is accepted, as a share of it.
        tolerances: To try, from the loosest.

    Returns:
        ``FixedPoint(tol, cap=max_loops)``; with the last tolerance if none is good enough.
    """
    data = data.to(model.device)
    see = torch.zeros_like(data.mask)
    targets = (data.observations, data.actions, data.rewards, data.continues, data.mask, see)
    cap = model.config.max_loops
    limit = model(*targets, depth_policy=FixedDepth(cap)).loss * (1 + slack)
    for tol in tolerances:
        policy = FixedPoint(tol=tol, cap=cap, patience=0)
        if model(*targets, depth_policy=policy).loss <= limit:
            break
    return policy
