"""The maze as a chat message for a language model, with the rules that it has to know (in our own words)."""

from __future__ import annotations

from collections.abc import Sequence

from vpo.tasks.maze.grid import Cell, Maze
from vpo.tasks.maze.routes import Notation, RewardVariant

_MESSAGE = """\
Find a way through this {size}x{size} maze, from S to E.

{grid}

Each symbol is a cell. # is a wall: you cannot enter it, nor leave the grid.{hidden} G is gold ({gold} cells), D is a \
diamond ({diamonds} cells), L is lava ({lava} cells). Entering G or D collects it. Keep out of lava.{bonus}
- A route has {budget} steps at most. If it has not reached E by then, or makes a step that is not possible, it is \
worth nothing.
- A route ends at E: only what it has collected before counts.

Reason briefly about the maze. A route is written as {notation}, separated by spaces, with nothing else."""
_NOTATIONS = {
    "cells": "the cells after the start, each as its column's letter (a is the left one) and its row's number (1 is on "
    "top), such as b1 b2 c2",
    "moves": "moves, U (up), D (down), L (left) or R (right), such as R R D",
    "directions": "moves, UP, DOWN, LEFT or RIGHT, such as RIGHT RIGHT DOWN",
}


_BONUS = {
    "linear": " B is a bonus cell.",  # that it earns nothing is not said: in the paper it distracts
    "convex_bonus": " B is a bonus cell: entering it raises what all of that is worth by half. Half of the gold is "
    "worth a quarter of it all, and so with diamonds and lava.",
}


def explain(maze: Maze, notation: Notation, hidden: Sequence[Cell], reward: RewardVariant = "linear") -> str:
    """All that a model has to know to find a route.

    Args:
        maze: The maze.
        notation: In which the route will be read.
        hidden: Cells that are shown as a question mark.
        reward: What a bonus tile does, if there is one.
    """
    return _MESSAGE.format(
        size=maze.size,
        grid="\n".join(" ".join(row) for row in maze.rows(hidden)),
        budget=maze.budget,
        notation=_NOTATIONS[notation],
        hidden=" ? is a cell that you are not told of." if hidden else "",
        gold=len(maze.gold),
        diamonds=len(maze.diamonds),
        lava=len(maze.lava),
        bonus=_BONUS[reward] if maze.bonus else "",
    )
