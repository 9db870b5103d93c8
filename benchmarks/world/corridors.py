"""The project's mazes in straight runs: a step is as many moves in one direction as a route makes there.

**Difficulty**, defined before any model was trained and without one: the cells that a step enters, 0 (into a wall at
once) to 4. Whether a run gets that far depends on all cells on its way.
"""

from __future__ import annotations

import random
from itertools import islice

from torch import Tensor

from vpo.looped.world import Transitions
from vpo.looped.world.mazes import play, random_walk, record, runs
from vpo.tasks.maze import MazeTask

TASK = MazeTask()
ROUTES = 6  # of each maze


def routes(split: str, num_mazes: int, seed: int) -> Transitions:
    """Routes in mazes of a split, of all kinds."""
    return record(islice(TASK.examples(split, seed), num_mazes), ROUTES, seed)


def walks(count: int, steps: int, seed: int) -> Transitions:
    """Random walks in test mazes that never end, of ``steps`` runs."""
    rng = random.Random(seed)
    episodes = []
    for maze in islice(TASK.examples("test", seed), count):
        moves = random_walk(maze, 8 * steps, rng, frozenset({maze.exit}))
        episodes.append(play(maze, runs(moves, maze.size)[:steps]))
    return Transitions.of(episodes)


def difficulty(data: Transitions) -> Tensor:
    """(N, T) cells that each step enters."""
    size = data.observations.shape[-1]
    place = data.observations[:, :, 0].flatten(2).argmax(-1)
    row, column = place // size, place % size
    return (row.diff(dim=1).abs() + column.diff(dim=1).abs()).float()


def wrong(predicted: Tensor, true: Tensor) -> Tensor:
    """(N, T, O) twice -> (N, T), 1 where any bit of an observation is wrong."""
    return ((predicted > 0.5) != (true > 0.5)).flatten(2).any(-1).float()
