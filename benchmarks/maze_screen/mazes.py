"""Mazes of 7 x 7 cells whose evaluator counts, and a scripted policy that writes routes.

The policy walks from cell to cell. With chance `BLIND` it takes no notice of walls, and a step into one is its last;
with chance `TOWARDS` it prefers steps towards the exit; it does not turn back unless it must. A route that begins with
a prefix goes on from there, which is how evolution varies a parent (`MazeTask.mutation_prefix`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from search.problem import TaskProblem
from search.records import Prompt
from search.seeds import stable_hash
from vpo.tasks.maze import Maze, MazeConfig, MazeTask
from vpo.tasks.maze.grid import MOVES, Cell
from vpo.tasks.maze.routes import score_route, write_route

TASK = MazeTask(maze=MazeConfig(size=7, num_items=6, zone_radius=3, num_lava=4, budget_slack=4, max_budget=None))
BLIND, TOWARDS = 0.25, 0.4


def draw(split: str, seed: int, count: int) -> list[Maze]:
    """The first mazes of a stream."""
    return list(islice(TASK.examples(split, seed), count))


@lru_cache(maxsize=64)
def highest(maze: Maze) -> float:
    """Scalar of the best route that there is."""
    return max(sum(w * r for w, r in zip(TASK.w_star, vector, strict=True)) for vector in TASK.front(maze))


class CountedMaze(TaskProblem):
    """A maze whose evaluator is slow: what is counted is how often it is asked.

    Args:
        maze: The maze.

    Attributes:
        evaluated: Answers that were evaluated, in order.
        top: Highest scalar that any route can earn.
    """

    def __init__(self, maze: Maze) -> None:
        super().__init__(TASK, TASK.row(maze, 1), TASK.answer_format(1), id=f"maze-{maze.key():x}")
        self.maze, self.evaluated = maze, list[str]()
        self.top = highest(maze)

    def evaluate(self, answers: Sequence[str]) -> list[tuple[float, ...]]:
        self.evaluated += answers
        return [self.score(answer) for answer in answers]

    def score(self, answer: str) -> tuple[float, ...]:
        """What an answer earns, off the record."""
        return score_route(answer, self.maze, TASK.notation)

    def write(self, prompt: Prompt, prefix: str, seed: int) -> str:
        """The policy's continuation of a prefix; a function of all three."""
        rng = random.Random(stable_hash(str(prompt), prefix, seed))
        return (" " if prefix else "") + write_route(walk_on(self.maze, cells_of(prefix), rng), "cells")


def cells_of(route: str) -> list[Cell]:
    """``"b1 b2"`` -> [(0, 1), (1, 1)]."""
    return [(int(word[1:]) - 1, ord(word[0]) - ord("a")) for word in route.split()]


def walk_on(maze: Maze, walked: Sequence[Cell], rng: random.Random) -> list[Cell]:
    """The cells that the policy goes to after those it has walked."""
    path, begin = [maze.start, *walked], len(walked) + 1
    while len(path) <= maze.budget and path[-1] != maze.exit and path[-1] not in maze.walls:
        path.append(_step(maze, path, rng))
    return path[begin:]


def _step(maze: Maze, path: Sequence[Cell], rng: random.Random) -> Cell:
    row, column = path[-1]
    choices = list(maze.neighbours[path[-1]])
    if rng.random() < BLIND:
        around = [(row + down, column + right) for down, right in MOVES.values()]
        choices = [cell for cell in around if all(0 <= place < maze.size for place in cell)]
    onwards = [cell for cell in choices if cell not in path[-2:-1]] or choices
    nearer = [cell for cell in onwards if sum(cell) > row + column]
    return rng.choice(nearer if nearer and rng.random() < TOWARDS else onwards)


def quality(mazes: Sequence[Maze], draws: int = 200) -> dict[str, float]:
    """What the policy's routes are worth: share that arrives, share that differ, and mean scalar over the best one."""
    found: list[dict[str, Any]] = []
    for maze in mazes:
        problem = CountedMaze(maze)
        routes = [problem.write(problem.prompt, "", seed) for seed in range(draws)]
        vectors = [problem.score(route) for route in routes]
        scalars = [problem.scalar(vector) / problem.top for vector in vectors]
        arrives = np.mean([vector[0] for vector in vectors])
        found.append({"arrives": arrives, "differ": len(set(routes)) / draws, "mean": np.mean(scalars)})
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}
