"""What a maze table must be held against: an oracle that knows every route, and fixed routes that never look.

A policy that has not learned to read its prompt can still score well by a few constant routes; the blind control is the
best such set. The oracle is the whole front of what any route can reach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vpo.tasks.maze.grid import Cell, Maze
from vpo.tasks.maze.routes import Notation, score_route


def oracle_front(maze: Maze) -> list[tuple[float, float, float, float]]:
    """Reward vectors that no other route dominates, by breadth-first search over (cell, items and lava visited)."""
    special = [*sorted(maze.gold), *sorted(maze.diamonds), *sorted(maze.lava)]
    bit = {cell: 1 << i for i, cell in enumerate(special)}
    gold, diamonds, lava = len(maze.gold), len(maze.diamonds), len(maze.lava)
    seen: set[tuple[Cell, int]] = {(maze.start, 0)}
    queue: deque[tuple[Cell, int, int]] = deque([(maze.start, 0, 0)])
    reached: set[int] = set()
    while queue:
        cell, mask, steps = queue.popleft()
        if cell == maze.exit:
            reached.add(mask)
            continue  # a route ends at the exit
        if steps == maze.budget:
            continue
        for n in maze.neighbours[cell]:
            state = (n, mask | bit.get(n, 0))
            if state not in seen:
                seen.add(state)
                queue.append((*state, steps + 1))
    vectors = set()
    for mask in reached:
        bits = [(mask >> i) & 1 for i in range(len(special))]
        burnt = sum(bits[gold + diamonds :]) / lava if lava else 0.0
        vectors.add((1.0, sum(bits[:gold]) / gold, sum(bits[gold : gold + diamonds]) / diamonds, 1.0 - burnt))
    return sorted(
        v for v in vectors if not any(u != v and all(a >= b for a, b in zip(u, v, strict=True)) for u in vectors)
    )


def route_table(routes: Sequence[str], mazes: Sequence[Maze], notation: Notation) -> NDArray[np.float64]:
    """(mazes, routes, components) reward vectors of the same routes in every maze."""
    return np.array([[score_route(route, maze, notation) for route in routes] for maze in mazes])


def best_blind_set(table: NDArray[np.float64], weights: NDArray[np.float64], size: int) -> list[int]:
    """Greedy choice of ``size`` columns of ``table`` (P, R, D) that maximises the mean best utility.

    ``weights`` (K, D): one row for a fixed taste, many for a random one. The greedy choice is within 1 - 1/e of the
    best set, since the mean of a maximum is submodular.
    """
    utility = np.einsum("prd,kd->rpk", table, weights)
    chosen: list[int] = []
    best = np.zeros(utility.shape[1:])
    for _ in range(min(size, len(utility))):
        gains = np.maximum(utility, best).mean(axis=(1, 2))
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        best = np.maximum(best, utility[chosen[-1]])
    return chosen
