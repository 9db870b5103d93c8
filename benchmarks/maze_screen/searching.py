"""One search of one maze by one arm, and what the arms save together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from screening import curve, saved

from maze_screen.foresight import MODELS, READY, Views
from maze_screen.mazes import CountedMaze
from search.budget import Budget
from search.driver import run_search
from search.procedures import BestOfN, LexicaseEvolution
from search.records import Generation, Request, Sampling
from search.samplers import ScriptedSampler
from search.screening import Screening
from vpo.tasks.maze import Maze

PROCEDURES: dict[str, Callable[[Any], Any]] = {
    "best of n": lambda problem: BestOfN(),
    "lexicase": lambda problem: LexicaseEvolution(problem.vary),
}
BEYOND, REPEATS = 5, 6  # of the plain search
ARMS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "plain": None,
    "looped": ("looped", {}),
    "looped, trusted": ("looped", READY),
    "one loop, trusted": ("one loop", READY),
    "arrival alone, trusted": ("arrival alone", READY),
    "oracle, trusted": ("oracle", READY),
    "text": ("text", {}),
    "ensemble, trusted": ("ensemble", READY),
    "untrained": ("untrained", {}),
    "untrained, trusted": ("untrained", READY),
    "reverse, trusted": ("reverse", READY),
    "another answer": ("another answer", {}),
    "another answer, trusted": ("another answer", READY),
    "another maze, trusted": ("another maze", READY),
}
ON_EVERY_SEED = tuple(ARMS)[
    :6
]  # the others on the first, and in the first mazes: "text" is slow, there is one ensemble
CONTROLLED = 6


class Foreseeing(ScriptedSampler):
    """The policy; what it writes in a round is foreseen in one go, which is faster and changes nothing."""

    def __init__(self, problem: CountedMaze, foresee: Sequence[Callable[[Sequence[str]], Any]]) -> None:
        super().__init__(problem.write)
        self._foresee = foresee

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        drawn = super().sample(requests)
        for each in self._foresee:
            each([generation.text for generation in drawn])
        return drawn


def search(maze: Maze, procedure: str, arm: str, views: Views, seed: int, most: int) -> dict[str, Any]:
    """One search until ``most`` evaluations are made.

    Returns:
        Best scalar after each, as a share of the highest that there is; the completions that were sampled by then; and
        when the screen was switched, in evaluations.
    """
    problem, chosen = CountedMaze(maze), ARMS[arm]
    screen, ahead = None, []
    if chosen is not None and chosen[0] == "text":
        screen = Screening(**chosen[1])
    elif chosen is not None:
        predictor = MODELS[chosen[0]](problem, views)
        ahead = [] if chosen[0] in ("another answer", "arrival alone", "oracle") else list(predictor.views)
        screen = Screening(predictor=lambda _: predictor, **chosen[1])
    switches: list[tuple[int, str]] = []

    def note(progress: Any) -> None:
        if progress.switched and progress.switched not in [each for _, each in switches]:
            switches.append((len(problem.evaluated), progress.switched))

    (result,) = run_search(
        [problem],
        PROCEDURES[procedure],
        Foreseeing(problem, ahead),
        Budget(max_seconds=most, max_answers=20 * most, max_completion_tokens=600 * most),  # repeats must end, too
        batch=8,
        seed=seed,
        sampling=Sampling(max_new_tokens=maze.budget + 1),
        screen=screen,
        progress=note,
        clock=lambda: float(len(problem.evaluated)),
    )
    best, completions = curve(result, most)
    offs = [at for at, said in switches if "switched off" in said]
    return {
        "best": (best / problem.top).round(6).tolist(),
        "completions": float(completions[-1]),
        "on_at": next((at for at, said in switches if "switched off" not in said), None),
        "on": len(switches) > len(offs),
        "off": bool(offs),
        "evaluated": len(problem.evaluated),
    }


def figures(found: dict[str, np.ndarray], at: int) -> dict[str, dict[str, Any]]:
    """What each arm saves, with standard errors.

    Args:
        found: Arm -> (P, mazes, seeds, E) best after each evaluation, of P procedures, with as many of the first
            mazes and seeds as the arm has; "repeats", more of the plain search, averaged.
        at: Evaluations of an arm.

    Returns:
        Arm -> ``saved``, as `benchmarks/screening.py` has it; ``se``, its bootstrap over mazes and seeds together, arms
        in pairs; ``by_seed``; ``needed``, the evaluations until its mean best is the yardstick's at the end, None if it
        is never; ``best``.
    """

    def one(arm: str, rows: Any, columns: Any) -> float:
        chosen = [found[each][:, rows][:, :, columns] for each in (arm, "plain", "repeats")]
        return saved(*(each.reshape(-1, each.shape[-1]) for each in chosen), at)

    result: dict[str, dict[str, Any]] = {}
    for arm in (each for each in found if each != "repeats"):
        rng, (_, mazes, seeds, _) = np.random.default_rng(0), found[arm].shape
        mean, goal = found[arm].mean((0, 1, 2)), found["repeats"][:, :mazes, :seeds].mean((0, 1, 2))[at - 1] - 1e-12
        draws = [(rng.integers(mazes, size=mazes), rng.integers(seeds, size=seeds)) for _ in range(300)]
        result[arm] = {
            "saved": one(arm, range(mazes), range(seeds)),
            "se": float(np.std([one(arm, *draw) for draw in draws])),
            "by_seed": [one(arm, range(mazes), [seed]) for seed in range(seeds)],
            "needed": int(np.argmax(mean >= goal)) + 1 if mean[-1] >= goal else None,
            "best": float(mean[at - 1]),
        }
    return result
