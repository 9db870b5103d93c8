"""The project's mazes as a world: observations, actions, sequences to learn from, and rewards of routes.

An observation is a grid of bits, (7, size, size): where one stands, walls, gold, diamonds, lava, the exit, and cells
that were entered. Only the first and the last change, so what a route has collected can be read off the last
observation. One step is a *straight run*, as many moves in one direction as the route makes there: routes are half as
many steps long, and steps differ in how much happens in them. The reward vector (completion, gold, diamonds, no_lava)
is paid at the exit, as the task pays it; a move that is not possible ends the sequence without a reward, and so does
the end of the budget, which the caller keeps to: a route is cut where the task cuts it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import groupby

import torch
from torch import Tensor

from vpo.looped.world.transitions import Episode, Transitions
from vpo.tasks.maze.grid import MOVES, Cell, Maze
from vpo.tasks.maze.routes import COMPONENTS, WORDS, Notation, RewardVariant, cell_name, reward_vector, teacher_route

#: Meaning of the channels of an observation.
CHANNELS = ("agent", "wall", "gold", "diamond", "lava", "exit", "entered")
_BY_WORD = {
    "moves": {name: i for i, name in enumerate(MOVES)},
    "directions": {WORDS[name]: i for i, name in enumerate(MOVES)},
}
_STEPS = tuple(MOVES.values())
_NONE = len(_STEPS)  # a move that is none


def num_actions(size: int) -> int:
    """Runs in a maze with ``size`` cells a side: four directions, 1 to size - 1 moves, and what is no move at all."""
    return len(_STEPS) * (size - 1) + 1


def observe(maze: Maze, position: Cell, entered: Iterable[Cell]) -> Tensor:
    """(7, size, size) bits of a maze in which somebody stands at ``position`` and has been at ``entered``."""
    grid = torch.zeros(len(CHANNELS), maze.size, maze.size)
    cells = ((position,), maze.walls, maze.gold, maze.diamonds, maze.lava, (maze.exit,), entered)
    for channel, marked in enumerate(cells):
        for row, column in marked:
            grid[channel, row, column] = 1.0
    return grid


def runs(moves: Sequence[int], size: int) -> list[int]:
    """Moves (0 to 3 as in `MOVES`, 4 for none) as numbered straight runs, none longer than size - 1."""
    actions: list[int] = []
    for move, group in groupby(moves):
        left = len(list(group))
        while left and move != _NONE:
            actions.append(move * (size - 1) + min(left, size - 1) - 1)
            left -= min(left, size - 1)
        actions += [num_actions(size) - 1] * left
    return actions


def route_actions(text: str, maze: Maze, notation: Notation) -> list[int]:
    """A route as runs, up to the budget; reading it needs no walls, so an impossible move is one as well.

    Args:
        text: The route.
        maze: Gives the start, the budget and the size.
        notation: Of the words. Of cells, the move is the one from the cell named before.

    Returns:
        Numbers of the runs; a word that is no move is the last number, with which the route ends. Never empty.
    """
    moves: list[int] = []
    position = maze.start
    for word in text.split(None, maze.budget)[: maze.budget]:
        if notation == "cells":
            targets = {cell_name((position[0] + r, position[1] + c)): i for i, (r, c) in enumerate(_STEPS)}
            move = targets.get(word, _NONE)
        else:
            move = _BY_WORD[notation].get(word, _NONE)
        moves.append(move)
        if move == _NONE:
            break
        position = (position[0] + _STEPS[move][0], position[1] + _STEPS[move][1])
    return runs(moves, maze.size) or [num_actions(maze.size) - 1]


def play(maze: Maze, actions: Sequence[int], reward: RewardVariant = "linear") -> Episode:
    """What happens in the maze: the sequence ends at the exit, or with a move that is not possible."""
    position, visited = maze.start, []
    observations, rewards, ended = [observe(maze, position, ())], [], False
    for action in actions:
        direction, length = divmod(action, maze.size - 1)
        paid: tuple[float, ...] = (0.0,) * len(COMPONENTS)
        for _ in range(length + 1):
            step = _STEPS[direction] if direction < _NONE else (maze.size, 0)
            target = (position[0] + step[0], position[1] + step[1])
            if target not in maze.neighbours[position]:
                ended = True
                break
            position = target
            visited.append(position)
            if position == maze.exit:
                paid, ended = reward_vector(visited, maze, reward), True
                break
        observations.append(observe(maze, position, visited))
        rewards.append(paid)
        if ended:
            break
    return Episode(torch.stack(observations), torch.tensor(actions[: len(rewards)]), torch.tensor(rewards), ended)


def record(mazes: Iterable[Maze], routes_each: int, seed: int, reward: RewardVariant = "linear") -> Transitions:
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
            moves = _moves(maze, teacher_route(maze, rng))
            if i % 3 == 1:
                moves[rng.randrange(len(moves))] = rng.randrange(len(_STEPS) + 1)
                moves += [rng.randrange(len(_STEPS)) for _ in range(maze.budget - len(moves))]
            elif i % 3 == 2:
                moves = random_walk(maze, maze.budget, rng)
            episodes.append(play(maze, runs(moves, maze.size), reward))
    return Transitions.of(episodes)


def random_walk(maze: Maze, steps: int, rng: random.Random, avoid: frozenset[Cell] = frozenset()) -> list[int]:
    """Possible moves at random (not runs), up to the exit; with ``avoid={maze.exit}`` never ending."""
    position = maze.start
    cells: list[Cell] = []
    while len(cells) < steps and position != maze.exit:
        position = rng.choice([n for n in maze.neighbours[position] if n not in avoid])
        cells.append(position)
    return _moves(maze, cells)


def _moves(maze: Maze, cells: Sequence[Cell]) -> list[int]:
    number = {step: i for i, step in enumerate(_STEPS)}
    return [number[b[0] - a[0], b[1] - a[1]] for a, b in zip([maze.start, *cells], cells, strict=False)]
