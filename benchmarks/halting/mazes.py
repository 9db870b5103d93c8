"""Mazes whose passages form a tree, so that one path alone leads from start to goal; the cells on it are the answer.

A cell's token says which of its four sides are open (16 ways) and whether it is start, goal or neither (3): 48 tokens.
"""

from __future__ import annotations

import random

TOKENS = 48
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # side of bit 0, 1, 2, 3


def draw_maze(size: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """Tokens of a random maze of ``size`` by ``size`` cells, and 1 for each cell on the path, else 0."""
    open_sides = _tree(size, rng)
    start, goal = rng.sample(range(size**2), 2)
    path = path_between(open_sides, size, start, goal)
    tokens = [3 * sides + (cell == start) + 2 * (cell == goal) for cell, sides in enumerate(open_sides)]
    return tokens, [int(cell in path) for cell in range(size**2)]


def _tree(size: int, rng: random.Random) -> list[int]:
    """Open sides of each cell: walls fall in random order where they part two regions (Kruskal)."""
    walls = [(cell, side) for cell in range(size**2) for side in (1, 2)]
    rng.shuffle(walls)
    region = list(range(size**2))

    def root(cell: int) -> int:
        while region[cell] != cell:
            region[cell] = region[region[cell]]
            cell = region[cell]
        return cell

    open_sides = [0] * size**2
    for cell, side in walls:
        other = neighbour(cell, side, size)
        if other is not None and root(cell) != root(other):
            region[root(cell)] = root(other)
            open_sides[cell] |= 1 << side
            open_sides[other] |= 1 << (side + 2) % 4
    return open_sides


def neighbour(cell: int, side: int, size: int) -> int | None:
    """The cell beyond a side; None outside the maze."""
    row, column = cell // size + STEPS[side][0], cell % size + STEPS[side][1]
    return row * size + column if 0 <= row < size and 0 <= column < size else None


def path_between(open_sides: list[int], size: int, start: int, goal: int) -> set[int]:
    """Cells of the shortest path, by breadth-first search."""
    came_from, border = {start: start}, [start]
    while goal not in came_from:
        following = []
        for cell in border:
            for side in range(4):
                other = neighbour(cell, side, size) if open_sides[cell] >> side & 1 else None
                if other is not None and other not in came_from:
                    came_from[other] = cell
                    following.append(other)
        border = following
    path, cell = {goal}, goal
    while cell != start:
        cell = came_from[cell]
        path.add(cell)
    return path
