"""The project's mazes as a world: observations, actions, sequences to learn from, and rewards of routes.

An observation is a grid of bits, (7, size, size): where one stands, walls, gold, diamonds, lava, the exit, and cells
that were entered. Only the first and the last change, so what a route has collected can be read off the last
observation. The reward vector (completion, gold, diamonds, no_lava) is paid at the exit, as the task pays it; a step
that is not possible ends the sequence without a reward, and so does the end of the budget, which the caller keeps to: a
route is cut where the task cuts it.

Shape letters: N routes, T steps.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from vpo.looped.world.transitions import Episode, Transitions
from vpo.tasks.maze.grid import MOVES, Cell, Maze
from vpo.tasks.maze.routes import COMPONENTS, WORDS, Notation, cell_name, reward_vector, teacher_route

#: Meaning of the channels of an observation.
CHANNELS = ("agent", "wall", "gold", "diamond", "lava", "exit", "entered")
#: Moves by number; the last is a word that is no step.
ACTIONS = ("U", "D", "L", "R", "none")
_BY_WORD = {
    "moves": {name: i for i, name in enumerate(MOVES)},
    "directions": {WORDS[name]: i for i, name in enumerate(MOVES)},
}
_STEPS = tuple(MOVES.values())


def observe(maze: Maze, position: Cell, entered: Iterable[Cell]) -> Tensor:
    """(7, size, size) bits of a maze in which somebody stands at ``position`` and has been at ``entered``."""
    grid = torch.zeros(len(CHANNELS), maze.size, maze.size)
    cells = ((position,), maze.walls, maze.gold, maze.diamonds, maze.lava, (maze.exit,), entered)
    for channel, marked in enumerate(cells):
        for row, column in marked:
            grid[channel, row, column] = 1.0
    return grid


def route_actions(text: str, maze: Maze, notation: Notation) -> list[int]:
    """Numbers of a route's moves, up to the budget; reading needs no walls, so an impossible move is one as well.

    Args:
        text: The route.
        maze: Gives the start and the budget.
        notation: Of the words. Of cells, the move is the one from the cell named before.

    Returns:
        One number a word; "none" for a word that is no step, with which the route ends. Never empty.
    """
    actions: list[int] = []
    position = maze.start
    for word in text.split(None, maze.budget)[: maze.budget]:
        if notation == "cells":
            targets = {cell_name((position[0] + r, position[1] + c)): i for i, (r, c) in enumerate(_STEPS)}
            action = targets.get(word, len(_STEPS))
        else:
            action = _BY_WORD[notation].get(word, len(_STEPS))
        actions.append(action)
        if action == len(_STEPS):
            break
        position = (position[0] + _STEPS[action][0], position[1] + _STEPS[action][1])
    return actions or [len(_STEPS)]


def play(maze: Maze, actions: Sequence[int], reward: str = "linear") -> Episode:
    """What happens in the maze: the sequence ends at the exit, or with a step that is not possible."""
    position, visited = maze.start, []
    observations, rewards, ended = [observe(maze, position, ())], [], False
    for action in actions:
        target = None
        if action < len(_STEPS):
            target = (position[0] + _STEPS[action][0], position[1] + _STEPS[action][1])
        paid: tuple[float, ...] = (0.0,) * len(COMPONENTS)
        if target is None or target not in maze.neighbours[position]:
            ended = True
        else:
            position = target
            visited.append(position)
            if position == maze.exit:
                paid, ended = reward_vector(visited, maze, reward), True  # type: ignore[arg-type]
        observations.append(observe(maze, position, visited))
        rewards.append(paid)
        if ended:
            break
    return Episode(torch.stack(observations), torch.tensor(actions[: len(rewards)]), torch.tensor(rewards), ended)


def record(mazes: Iterable[Maze], routes_each: int, seed: int, reward: str = "linear") -> Transitions:
    """Routes to learn from: in each maze random feasible ones, such ones with a wrong turn, and random walks, in turn.

    Args:
        mazes: Of one size.
        routes_each: Routes of each maze.
        seed: Of all draws.
        reward: "linear" or "convex_bonus", see `vpo.tasks.maze.routes`.
    """
    rng = random.Random(f"vpo-world-{seed}")
    episodes = []
    for maze in mazes:
        for i in range(routes_each):
            actions = _moves(maze, teacher_route(maze, rng))
            if i % 3 == 1:
                actions[rng.randrange(len(actions))] = rng.randrange(len(ACTIONS))
                actions += [rng.randrange(len(_STEPS)) for _ in range(maze.budget - len(actions))]
            elif i % 3 == 2:
                actions = random_walk(maze, maze.budget, rng)
            episodes.append(play(maze, actions, reward))
    return Transitions.of(episodes)


def random_walk(maze: Maze, steps: int, rng: random.Random, avoid: frozenset[Cell] = frozenset()) -> list[int]:
    """Possible moves at random, up to the exit; with ``avoid={maze.exit}`` never ending."""
    position, cells = maze.start, []
    while len(cells) < steps and position != maze.exit:
        position = rng.choice([n for n in maze.neighbours[position] if n not in avoid])
        cells.append(position)
    return _moves(maze, cells)


def _moves(maze: Maze, cells: Sequence[Cell]) -> list[int]:
    number = {step: i for i, step in enumerate(_STEPS)}
    return [number[b[0] - a[0], b[1] - a[1]] for a, b in zip([maze.start, *cells], cells, strict=False)]
