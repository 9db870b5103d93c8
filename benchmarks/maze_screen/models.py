"""World models of the mazes, trained on recorded routes, each tested on routes before a search may trust it.

* ``looped``: about 4 loops in training, at random; stops at a fixed point, its tolerance chosen on held-out routes.
* ``one loop``: the same layers, run once a step.
* ``untrained``: the looped one before its first update, with the data's statistics.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from maze_screen.mazes import TASK, CountedMaze, draw, walk_on
from vpo.looped.depth import FixedDepth
from vpo.looped.world import (
    LoopedWorldModel,
    TrainingPlan,
    Transitions,
    WorldModelConfig,
    choose_tolerance,
    predict_reward,
    train,
)
from vpo.looped.world.mazes import CHANNELS, num_actions, record
from vpo.tasks.maze.routes import COMPONENTS, write_route

KINDS = ("looped", "one loop", "untrained")
EACH = 6  # recorded routes of a maze


@dataclass(frozen=True)
class Plan:
    """How a world model is made.

    Attributes:
        updates, batch_size, lr, hidden_size: Of a model.
        window: Steps that one update sees of a route.
        routes: Recorded to learn from; each is an evaluation.
        held_out: Recorded to choose the tolerance with.
        tests: Mazes of the test before use, with ``tested`` of the policy's routes each.
    """

    updates: int = 1000
    batch_size: int = 32
    lr: float = 1e-2
    hidden_size: int = 32
    window: int = 4
    routes: int = 2400
    held_out: int = 300
    tests: int = 10
    tested: int = 30

    @property
    def spent(self) -> int:
        """Evaluations that a world model costs before its first search."""
        return self.routes + self.held_out + self.tests * self.tested


def recorded(count: int, seed: int) -> Transitions:
    """Routes in training mazes: feasible ones, such ones with a wrong turn, and random walks."""
    return record(draw("train", seed, max(count // EACH, 2)), EACH, seed)


def new_model(kind: str, seed: int, plan: Plan) -> LoopedWorldModel:
    torch.manual_seed(seed)
    size, once = TASK.maze.size, {"mean_loops": 1, "max_loops": 1}
    config = WorldModelConfig(
        observation_shape=(len(CHANNELS), size, size), observation_kind="binary", num_actions=num_actions(size),
        num_rewards=len(COMPONENTS), hidden_size=plan.hidden_size, inner_size=4 * plan.hidden_size, prelude_layers=0,
        **(once if kind == "one loop" else {"mean_loops": 4, "max_loops": 8}),
    )  # fmt: skip
    return LoopedWorldModel(config)


def world_model(kind: str, seed: int, plan: Plan, folder: Path) -> tuple[LoopedWorldModel, dict[str, Any]]:
    """A model and what was measured of it, made or read from ``folder``."""
    place = folder / f"{kind.replace(' ', '-')}-seed{seed}"
    facts = place / "facts.json"
    if facts.exists() and (saved := json.loads(facts.read_text()))["plan"] == asdict(plan):
        return LoopedWorldModel.from_pretrained(place).eval(), saved
    began = time.process_time()
    model, data = new_model(kind, seed, plan), recorded(plan.routes, seed)
    if kind == "untrained":
        model.standardise(data)
    else:
        how = TrainingPlan(
            updates=plan.updates, batch_size=plan.batch_size, lr=plan.lr, see=1.0, save_every=200, seed=seed
        )
        depth = FixedDepth(1) if kind == "one loop" else None
        train(model, data.windows(plan.window), how, place, depth, _progress(f"{kind}, seed {seed}"))
    model.eval()
    if kind != "one loop":
        model.depth_policy = choose_tolerance(model, recorded(plan.held_out, 100 + seed).windows(plan.window))
    found = {"plan": asdict(plan), "steps": int(data.mask.sum()), "cpu_seconds": time.process_time() - began}
    found |= offline(model, plan, 200 + seed)
    model.save_pretrained(place)
    facts.write_text(json.dumps(found))
    return model, found


@torch.no_grad()
def offline(model: LoopedWorldModel, plan: Plan, seed: int) -> dict[str, float | None]:
    """The test before use, on the policy's routes in training mazes that the model has not seen.

    Returns:
        Spearman's correlation of foreseen and real scalars within a maze, the same among routes that arrive, the mean
        absolute error of a component, and the share of routes of which it is known whether they arrive; None where
        nothing can be ranked.
    """
    rows: list[dict[str, float]] = []
    for number, maze in enumerate(draw("train", seed, plan.tests)):
        rng, problem = random.Random(f"{seed} {number}"), CountedMaze(maze)
        routes = [write_route(walk_on(maze, [], rng), "cells") for _ in range(plan.tested)]
        real = np.array([problem.score(route) for route in routes])
        mean = predict_reward(model, maze, routes)[0].numpy()
        there = real[:, 0] > 0
        rows.append({
            "rho": _spearman(mean.mean(1), real.mean(1)),
            "rho_arrived": _spearman(mean[there].mean(1), real[there].mean(1)),
            "error": float(np.abs(mean - real).mean()),
            "knows_arrival": float(((mean[:, 0] > 0.5) == there).mean()),
        })  # fmt: skip
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: list[float]) -> float | None:
    """Of those that are numbers."""
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else None


def _spearman(foreseen: np.ndarray, real: np.ndarray) -> float:
    """NaN where nothing can be ranked."""
    flat = len(real) < 3 or np.ptp(real) == 0 or np.ptp(foreseen) == 0
    return float("nan") if flat else float(spearmanr(foreseen, real).statistic)


def _progress(name: str) -> Any:
    def say(done: int, of: int, loss: float) -> None:
        if done % 200 == 0:
            print(f"  {name}: update {done}/{of}, loss {loss:.3f}", flush=True)

    return say
