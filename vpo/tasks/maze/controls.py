"""The oracle of a maze: the whole front of what any route can reach."""

from __future__ import annotations

from collections import deque

from vpo.tasks.maze.grid import Cell, Maze
from vpo.tasks.maze.routes import RewardVariant, earned


def oracle_front(maze: Maze, reward: RewardVariant = "linear") -> list[tuple[float, float, float, float]]:
    """Reward vectors that no other route dominates, by breadth-first search over (cell, items and lava visited)."""
    special = [*sorted(maze.gold), *sorted(maze.diamonds), *sorted(maze.lava), *sorted(maze.bonus)]
    bit = {cell: 1 << i for i, cell in enumerate(special)}
    gold, diamonds, lava = len(maze.gold), len(maze.diamonds), len(maze.lava)
    ends = (gold, gold + diamonds, gold + diamonds + lava)
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
        num_gold, num_diamonds = sum(bits[: ends[0]]), sum(bits[ends[0] : ends[1]])
        num_lava = sum(bits[ends[1] : ends[2]])
        vectors.add(earned(num_gold, num_diamonds, num_lava, maze, reward, has_bonus=any(bits[ends[2] :])))
    return sorted(
        v for v in vectors if not any(u != v and all(a >= b for a, b in zip(u, v, strict=True)) for u in vectors)
    )
