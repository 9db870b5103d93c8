"""Routes through a maze: their notations, walking them, and the reward vector.

``cells`` names every cell after the start (``b1 c1 c2``: column letter, row number from the top), ``moves`` the steps
(``R R D``), ``directions`` the same in words (``RIGHT RIGHT DOWN``). A step into a wall, off the grid or to a cell that
is not adjacent ends the route there, and so does a word that is no step. Components (VPO, arXiv 2605.22817):
completion, share of gold, share of diamonds, 1 - share of lava; all zero unless the exit is reached within the budget.
Items count up to the exit only.

The authors' files disagree on what these shares earn (both in their code, commit 767db79): "linear", the shares
themselves, is what their record of the paper's runs says; "convex_bonus", the squares of the three shares, times 1.5
and cut at 1 if the bonus tile was visited, is what their generator writes into its rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from vpo.tasks.maze.grid import MOVES, Cell, Maze, distances, zone

Notation = Literal["cells", "moves", "directions"]
RewardVariant = Literal["linear", "convex_bonus"]
COMPONENTS = ("completion", "gold", "diamonds", "no_lava")
WORDS = {"U": "UP", "D": "DOWN", "L": "LEFT", "R": "RIGHT"}
_BONUS = 1.5
_STEPS = {"moves": MOVES, "directions": {WORDS[name]: step for name, step in MOVES.items()}}
_STEP_NAMES = {notation: {step: name for name, step in steps.items()} for notation, steps in _STEPS.items()}


@dataclass(frozen=True)
class Walk:
    """The legal part of a route: cells after the start, and whether it ended at the exit in time."""

    cells: tuple[Cell, ...]
    reached_exit: bool


def cell_name(cell: Cell) -> str:
    """(0, 1) -> ``b1``."""
    return f"{chr(ord('a') + cell[1])}{cell[0] + 1}"


def write_route(cells: Sequence[Cell], notation: Notation, start: Cell = (0, 0)) -> str:
    """Text of a route given by the cells after the start."""
    if notation == "cells":
        return " ".join(map(cell_name, cells))
    previous = [start, *cells]
    names = _STEP_NAMES[notation]
    return " ".join(names[(b[0] - a[0], b[1] - a[1])] for a, b in zip(previous, cells, strict=False))


def walk(text: str, maze: Maze, notation: Notation) -> Walk:
    """Follow a route until it ends, reaches the exit or has used up the budget."""
    position, visited = maze.start, []
    names = {cell_name(n): n for n in maze.neighbours[position]} if notation == "cells" else {}
    for word in text.split(None, maze.budget)[: maze.budget]:  # at most the budget: a huge answer costs nothing
        if notation == "cells":
            target = names.get(word)
        else:
            step = _STEPS[notation].get(word)
            target = (position[0] + step[0], position[1] + step[1]) if step else None
        if target is None or target not in maze.neighbours[position]:
            break
        position = target
        visited.append(position)
        if position == maze.exit:
            return Walk(tuple(visited), True)
        if notation == "cells":
            names = {cell_name(n): n for n in maze.neighbours[position]}
    return Walk(tuple(visited), False)


def reward_vector(
    cells: Iterable[Cell], maze: Maze, reward: RewardVariant = "linear"
) -> tuple[float, float, float, float]:
    """Components of a route that reached the exit, from the cells it visited."""
    visited = set(cells)
    gold, diamonds, lava = (len(visited & kind) for kind in (maze.gold, maze.diamonds, maze.lava))
    return earned(gold, diamonds, lava, maze, reward, has_bonus=not visited.isdisjoint(maze.bonus))


def earned(
    num_gold: int, num_diamonds: int, num_lava: int, maze: Maze, reward: RewardVariant, has_bonus: bool
) -> tuple[float, float, float, float]:
    """What a finished route earns for what it visited.

    Args:
        num_gold: Gold cells visited.
        num_diamonds: Diamond cells visited.
        num_lava: Lava cells visited.
        maze: Says how many there are.
        reward: "linear" or "convex_bonus", see the module's docstring.
        has_bonus: Whether it visited the bonus tile.
    """
    burnt = num_lava / len(maze.lava) if maze.lava else 0.0
    shares = (num_gold / len(maze.gold), num_diamonds / len(maze.diamonds), 1.0 - burnt)
    if reward == "convex_bonus":
        factor = _BONUS if has_bonus else 1.0
        shares = (
            min(factor * shares[0] ** 2, 1.0),
            min(factor * shares[1] ** 2, 1.0),
            min(factor * shares[2] ** 2, 1.0),
        )
    return (1.0, *shares)


def score_route(
    text: str, maze: Maze, notation: Notation, reward: RewardVariant = "linear"
) -> tuple[float, float, float, float]:
    """Reward vector (completion, gold, diamonds, no_lava) of an answer's text."""
    taken = walk(text, maze, notation)
    return reward_vector(taken.cells, maze, reward) if taken.reached_exit else (0.0, 0.0, 0.0, 0.0)


def route_kind(text: str, maze: Maze, notation: Notation, zone_radius: int = 2) -> str:
    """Which zones a route passes through, whether or not it collects anything or arrives: the 'format' of a route."""
    visited = set(walk(text, maze, notation).cells)
    if not visited:
        return "no route"
    gold = not visited.isdisjoint(zone(maze.gold_corner, zone_radius, maze.size))
    diamonds = not visited.isdisjoint(zone(maze.diamond_corner, zone_radius, maze.size))
    return {(1, 0): "by gold", (0, 1): "by diamonds", (1, 1): "by both", (0, 0): "direct"}[gold, diamonds]


def random_route(maze: Maze, rng: random.Random, waypoint: Cell | None = None) -> list[Cell] | None:
    """A random route to the exit within the budget, through ``waypoint`` if given; None when the draw is too long.

    Each leg is a walk that moves closer by a random one of the neighbours that are closer, with one random side step
    now and then where the budget leaves room for it.
    """
    route: list[Cell] = []
    position = maze.start
    for goal in [waypoint, maze.exit] if waypoint is not None else [maze.exit]:
        left = distances(maze, goal)
        if position not in left:
            return None
        while position != goal:
            closer = [n for n in maze.neighbours[position] if left[n] < left[position]]
            sideways = rng.random() < 0.1
            position = rng.choice(maze.neighbours[position] if sideways else tuple(closer))
            route.append(position)
            if position == maze.exit and goal == maze.exit:
                break
            if len(route) > maze.budget:
                return None
    return route if len(route) <= maze.budget and maze.exit not in route[:-1] else None


def teacher_route(maze: Maze, rng: random.Random, direct: float = 0.6) -> list[Cell]:
    """A random feasible route for the warm start: direct, else by one gold cell or one diamond cell (half each).

    A third of the direct ones go by the bonus tile where there is one, if the budget allows it.
    """
    for _ in range(8):
        draw = rng.random()
        items = maze.gold if draw < direct + (1 - direct) / 2 else maze.diamonds
        through = maze.bonus if draw < direct / 3 else ()
        waypoint = rng.choice(sorted(items)) if draw >= direct else next(iter(through), None)
        route = random_route(maze, rng, waypoint)
        if route is not None:
            return route
    left = distances(maze, maze.exit)  # the shortest route always fits: the budget allows a detour and more
    position, route = maze.start, []
    while position != maze.exit:
        position = min((n for n in maze.neighbours[position]), key=lambda n: (left[n], n))
        route.append(position)
    return route
