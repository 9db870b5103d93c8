"""The worlds and the models that are compared; each model is kept on disk, so that a killed run goes on where it was.

* ``looped``: random depth, gradient through the last half of the mean; diagonal retention.
* ``unconstrained``: the same, but that the loop adds, ``u = h + e``: nothing of the state is ever forgotten.
* ``plain 1x`` to ``plain 8x``: the same layers run once a step, as wide as gives 1, 2, 4, 8 times the parameters.
* ``deep 3``, ``deep 4``, in the maze: 3 or 4 layers run once a step. Eight no longer learned at this learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from world import corridors, pendulum

from vpo.looped.depth import FixedDepth
from vpo.looped.world import LoopedWorldModel, TrainingPlan, Transitions, WorldModelConfig, train
from vpo.looped.world.mazes import num_actions

RATIOS = (1, 2, 4, 8)
WIDE = tuple(f"plain {ratio}x" for ratio in RATIOS)
ARMS = {
    "maze": ("looped", "unconstrained", *WIDE, "deep 3", "deep 4"),
    "acrobot": ("looped", "unconstrained", *WIDE),  # where width alone is enough to beat the loop
}


@dataclass(frozen=True)
class Plan:
    """Sizes of the study; the same data, batches and updates for all models of a world."""

    updates: int = 300
    sequences: int = 2400
    tests: int = 400
    window: int = 4
    far: int = 10  # horizon of long rollouts, in windows
    gate_updates: int = 100


QUICK = Plan(updates=20, sequences=120, tests=60, gate_updates=10)


@dataclass(frozen=True)
class World:
    """Data of a seed, and what a model needs to know of it.

    Args:
        settings: Of the configuration, without sizes.
        width: H of the looped model.
        batch_size: Windows of an update.
        lr: Learning rate of the looped model's width; the wider a model, the lower.
        see: Share of steps in training that see the true observation.
        train: Windows to learn from.
        valid: Windows for tolerance and gate.
        test: Whole sequences.
        difficulty: (N, T) of the test steps.
        far: Sequences of ``plan.far`` windows.
    """

    settings: dict[str, Any]
    width: int
    batch_size: int
    lr: float
    see: float
    train: Transitions
    valid: Transitions
    test: Transitions
    difficulty: Tensor
    far: Transitions


def maze(seed: int, plan: Plan) -> World:
    def routes(split: str, count: int, at: int) -> Transitions:
        return corridors.routes(split, max(count // corridors.ROUTES, 2), at)

    test = routes("test", plan.tests, 100 + seed)
    settings = {
        "observation_shape": tuple(test.observations.shape[2:]), "observation_kind": "binary", "num_rewards": 4,
        "num_actions": num_actions(5),
    }  # fmt: skip
    return World(
        settings, 32, 32, 1e-2, 1.0,
        routes("train", plan.sequences, seed).windows(plan.window),
        routes("train", plan.tests, 200 + seed).windows(plan.window),
        test, corridors.difficulty(test),
        corridors.walks(plan.tests // 4, plan.far * plan.window, seed),
    )  # fmt: skip


def acrobot(seed: int, plan: Plan) -> World:
    test, work = pendulum.record(plan.tests, 2 * plan.window, 100 + seed)
    return World(
        {"observation_shape": (6,), "num_actions": 3, "num_rewards": 2}, 64, 64, 5e-3, 0.8,
        pendulum.record(plan.sequences, 2 * plan.window, seed, measure=False)[0].windows(plan.window),
        pendulum.record(plan.tests, plan.window, 200 + seed, measure=False)[0],
        test, work,
        pendulum.record_long(plan.tests // 4, plan.far * plan.window, seed),
    )  # fmt: skip


WORLDS: dict[str, Callable[[int, Plan], World]] = {"maze": maze, "acrobot": acrobot}


def new_model(world: World, arm: str, seed: int) -> LoopedWorldModel:
    torch.manual_seed(seed)
    if arm.startswith("plain"):
        return _plain(world, int(arm.removeprefix("plain ").removesuffix("x")))
    if arm.startswith("deep"):
        return _build(world, world.width, mean_loops=1, max_loops=1, core_layers=int(arm.removeprefix("deep ")))
    injection = {"injection": "add"} if arm == "unconstrained" else {}
    return _build(world, world.width, **injection)


def num_parameters(model: LoopedWorldModel) -> int:
    """Those that prediction uses: the halting gate, a vector and a number, is not among them."""
    return sum(each.numel() for name, each in model.named_parameters() if "halt_gate" not in name)


def trained(
    world: World, arm: str, seed: int, plan: Plan, folder: Path, say: Callable[[str], None]
) -> LoopedWorldModel:
    """The model of an arm, trained or read from ``folder``."""
    model = new_model(world, arm, seed)
    width = model.config.hidden_size
    how = TrainingPlan(
        updates=plan.updates, batch_size=world.batch_size, lr=world.lr * (world.width / width) ** 0.5, see=world.see,
        save_every=100, seed=seed,
    )  # fmt: skip
    depth = FixedDepth(1) if arm.startswith(("plain", "deep")) else None

    def progress(done: int, of: int, loss: float) -> None:
        if done % 100 == 0:
            say(f"{arm}: update {done}/{of}, loss {loss:.3f}")

    train(model, world.train, how, folder / arm.replace(" ", "-"), depth, progress)
    return model.eval()


def _build(world: World, width: int, **settings: Any) -> LoopedWorldModel:
    sizes = {"hidden_size": width, "inner_size": 4 * width, "prelude_layers": 0, "mean_loops": 4, "max_loops": 8}
    return LoopedWorldModel(WorldModelConfig(**world.settings, **{**sizes, **settings}))


def _plain(world: World, ratio: int) -> LoopedWorldModel:
    """One pass a step, of the width that comes nearest to ``ratio`` times the looped model's parameters."""
    once = {"mean_loops": 1, "max_loops": 1}
    if ratio == 1:
        return _build(world, world.width, **once)
    wanted = ratio * num_parameters(_build(world, world.width))
    state = torch.get_rng_state()
    widths = range(world.width, 4 * world.width, 4)
    width = min(widths, key=lambda w: abs(num_parameters(_build(world, w, **once)) - wanted))
    torch.set_rng_state(state)
    return _build(world, width, **once)
