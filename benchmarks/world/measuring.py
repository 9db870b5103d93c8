"""What is measured of a trained model: error, depth against difficulty, rollouts far beyond the training horizon."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from world import corridors
from world.arms import World

from vpo.looped.depth import DepthPolicy, FixedDepth
from vpo.looped.world import LoopedWorldModel, Transitions, WorldModelOutput

RESAMPLES = 1000


@torch.no_grad()
def predicted(
    model: LoopedWorldModel, data: Transitions, sees: bool, policy: DepthPolicy | None = None, **options: Any
) -> WorldModelOutput:
    """All steps of ``data``, each from the true observation, or in a rollout from the first one."""
    see = torch.full_like(data.mask, sees)
    targets = (data.observations, data.actions, data.rewards, data.continues, data.mask, see)
    return model(*targets, depth_policy=policy, **options)


def error(model: LoopedWorldModel, world: World, policy: DepthPolicy | None = None) -> dict[str, float]:
    """Loss of rollouts (nats a step), the share of observations that are wrong or unexplained, and of the return."""
    data = world.test
    out = predicted(model, data, sees=False, policy=policy)
    paid = (data.rewards * data.mask.unsqueeze(-1)).sum(1)
    expected = (out.rewards * data.mask.unsqueeze(-1)).sum(1)  # without the model's own opinion of when it ends
    return {
        "loss": out.loss.item(),
        "observation": step_error(model, out, data)[data.mask].mean().item(),
        "reward": (expected - paid).abs().mean().item(),
        "loops": out.depths[data.mask].double().mean().item(),
    }


def step_error(model: LoopedWorldModel, out: WorldModelOutput, data: Transitions) -> Tensor:
    """(N, T): 1 for a wrong grid; of numbers, squared error over the data's variance (1: as good as their mean)."""
    true = data.observations[:, 1:]
    if model.config.observation_kind == "binary":
        return corridors.wrong(out.observations, true)
    return ((out.observations - true) / model.observation_scale).square().mean(-1)


def rank_correlation(depth: Tensor, difficulty: Tensor, mask: Tensor, seed: int = 0) -> dict[str, float]:
    """Spearman's correlation over steps, its interval from drawing sequences anew, and its value for shuffled steps.

    Steps of a sequence are not independent, so sequences are drawn. Ranks are those of the whole sample.
    """
    x, y = (rankdata(each[mask].numpy()) for each in (depth, difficulty))
    row = torch.arange(len(mask))[:, None].expand_as(mask)[mask].numpy()
    products = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])
    sums = np.stack([np.bincount(row, weights=each, minlength=len(mask)) for each in products], 1)
    rng = np.random.default_rng(seed)
    draws = [_correlation(sums[rng.integers(len(sums), size=len(sums))].sum(0)) for _ in range(RESAMPLES)]
    shuffled = [_correlation([*products[:5].sum(1), x @ rng.permutation(y)]) for _ in range(20)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "rho": _correlation(sums.sum(0)), "low": float(low), "high": float(high),
        "shuffled": float(np.mean(shuffled)), "shuffled_most": float(np.max(np.abs(shuffled))),
    }  # fmt: skip


def _correlation(sums: Any) -> float:
    count, x, y, xx, yy, xy = map(float, sums)
    spread = math.sqrt(max(xx - x * x / count, 0.0) * max(yy - y * y / count, 0.0))
    return (xy - x * y / count) / spread if spread > 0 else 0.0  # a depth that never differs ranks nothing


def allotment(model: LoopedWorldModel, world: World, policy: DepthPolicy, seed: int) -> dict[str, Any]:
    """Depth against difficulty on test steps, each from the true observation; and the loops of each third."""
    out = predicted(model, world.test, sees=True, policy=policy)
    mask = world.test.mask
    found: dict[str, Any] = rank_correlation(out.depths, world.difficulty, mask, seed)
    order = world.difficulty[mask].argsort(stable=True).tensor_split(3)
    depths = out.depths[mask].double()
    found["thirds"] = [depths[third].mean().item() for third in order]
    found["loops"] = depths.mean().item()
    return found


def gain_by_third(model: LoopedWorldModel, world: World, loops: int) -> list[list[float]]:
    """Loss after each loop for the easy, middle and hard third of the test steps: do hard ones *profit* from more?"""
    out = predicted(model, world.test, sees=True, policy=FixedDepth(loops), output_loop_losses=True)
    mask = world.test.mask
    order = world.difficulty[mask].argsort(stable=True).tensor_split(3)
    return [[each[mask][third].mean().item() for each in out.loop_losses] for third in order]


def far_rollout(model: LoopedWorldModel, world: World, window: int) -> dict[str, float]:
    """Size of the state and error over the last window of a long rollout, and in its first."""
    out = predicted(model, world.far, sees=False)
    error_of, norms = step_error(model, out, world.far), out.state_norms
    return {
        "norm_first": norms[:, :window].amax(1).mean().item(),
        "norm_far": norms[:, -window:].amax(1).mean().item(),
        "growth": (norms[:, -window:].amax(1) / norms[:, :window].amax(1)).mean().item(),
        "error_first": error_of[:, :window].mean().item(),
        "error_far": error_of[:, -window:].mean().item(),
    }
