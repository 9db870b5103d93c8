"""Mazes in which hardly any route takes everything (VPO, arXiv 2605.22817, maze domain; our own generator).

Start and exit lie in opposite corners, gold lies around the third corner, diamonds around the fourth, lava anywhere.
The step budget allows a detour to one of the two corners but never to both, so the best answer depends on what one
wants.

Solvability holds by construction: a maze is kept only after a route through each corner and a lava-free route have been
found within the budget, which is shorter than the shortest tour of both corners. Cells are (row, column), row 0 on top.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

Cell = tuple[int, int]
MOVES: dict[str, Cell] = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}


@dataclass(frozen=True)
class MazeConfig:
    """What a maze looks like.

    Args:
        size: Cells along one side.
        wall_share: Share of the cells other than the corners that are walls. A share, not a chance: mazes that block a
            detour are thrown away, and a chance would leave mostly open ones, which a fixed route solves blindly.
        num_items: Gold cells, and diamond cells.
        zone_radius: Items lie within this L1 distance of their corner.
        num_lava: Lava cells.
        budget_slack: Steps allowed beyond the longer of the two detours.
        max_budget: Mazes that need more steps than this are not kept; None for no limit.
        bonus: Whether the middle cell is a bonus tile, as in the paper's mazes. What it does is the reward's matter.

    Raises:
        ValueError: A value is out of range, or the zones would overlap or leave no room.
    """

    size: int = 5
    wall_share: float = 0.19
    num_items: int = 3
    zone_radius: int = 2
    num_lava: int = 3
    budget_slack: int = 2
    max_budget: int | None = 12
    bonus: bool = False

    def __post_init__(self) -> None:
        if self.size < 4:
            raise ValueError(f"maze size is {self.size}: expected 4 or more, smaller ones have no interior.")
        if self.size > 26:
            raise ValueError(f"maze size is {self.size}: expected at most 26, columns are named a to z.")
        if not 0.0 <= self.wall_share < 0.6:
            raise ValueError(f"wall_share is {self.wall_share}: expected a share in [0, 0.6).")
        if not 1 <= self.zone_radius <= (self.size - 1) // 2:
            raise ValueError(f"zone_radius is {self.zone_radius}: expected 1 to {(self.size - 1) // 2} at this size.")
        room = (self.zone_radius + 1) * (self.zone_radius + 2) // 2
        if not 1 <= self.num_items <= room:
            raise ValueError(f"num_items is {self.num_items}: a zone of radius {self.zone_radius} holds 1 to {room}.")
        if not 0 <= self.num_lava <= (self.size - 2) ** 2 // 2:
            raise ValueError(f"num_lava is {self.num_lava}: expected 0 to {(self.size - 2) ** 2 // 2} at this size.")
        if self.budget_slack < 0:
            raise ValueError(f"budget_slack is {self.budget_slack}: expected 0 or more steps.")
        if self.max_budget is not None and self.max_budget < 2 * (self.size - 1):
            raise ValueError(
                f"max_budget is {self.max_budget}: no route is shorter than {2 * (self.size - 1)} steps at this size."
            )


@dataclass(frozen=True)
class Maze:
    """One maze. Start is the top left cell, exit the bottom right one."""

    size: int
    walls: frozenset[Cell]
    gold: frozenset[Cell]
    diamonds: frozenset[Cell]
    lava: frozenset[Cell]
    budget: int
    bonus: frozenset[Cell] = frozenset()

    @property
    def start(self) -> Cell:
        """Top left."""
        return (0, 0)

    @property
    def exit(self) -> Cell:
        """Bottom right."""
        return (self.size - 1, self.size - 1)

    @property
    def gold_corner(self) -> Cell:
        """Top right."""
        return (0, self.size - 1)

    @property
    def diamond_corner(self) -> Cell:
        """Bottom left."""
        return (self.size - 1, 0)

    @cached_property
    def neighbours(self) -> dict[Cell, tuple[Cell, ...]]:
        """Free cells next to each free cell."""
        free = [(r, c) for r in range(self.size) for c in range(self.size) if (r, c) not in self.walls]
        known = set(free)
        steps = MOVES.values()
        return {cell: tuple(n for d in steps if (n := (cell[0] + d[0], cell[1] + d[1])) in known) for cell in free}

    def symbol(self, cell: Cell) -> str:
        """One character: S E # G D L B or a dot."""
        if cell == self.start:
            return "S"
        if cell == self.exit:
            return "E"
        special = zip("#GDLB", (self.walls, self.gold, self.diamonds, self.lava, self.bonus), strict=True)
        return next((symbol for symbol, cells in special if cell in cells), ".")

    def rows(self, hidden: Iterable[Cell] = ()) -> list[list[str]]:
        """Symbols by row; hidden cells show as a question mark."""
        unseen = set(hidden)
        size = range(self.size)
        return [["?" if (r, c) in unseen else self.symbol((r, c)) for c in size] for r in size]

    def key(self) -> int:
        """Stable 64-bit hash of everything that makes this maze this maze."""
        return int.from_bytes(hashlib.blake2b(self.to_json().encode(), digest_size=8).digest(), "big")

    def to_json(self) -> str:
        """Compact JSON, the form in which a maze travels in a dataset row."""
        return json.dumps({"rows": ["".join(row) for row in self.rows()], "budget": self.budget}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Maze:
        """Inverse of :meth:`to_json`."""
        data = json.loads(text)
        cells: dict[str, set[Cell]] = {symbol: set() for symbol in "#GDLBSE."}
        for r, row in enumerate(data["rows"]):
            for c, symbol in enumerate(row):
                cells[symbol].add((r, c))
        walls, gold, diamonds, lava, bonus = (frozenset(cells[symbol]) for symbol in "#GDLB")
        return cls(len(data["rows"]), walls, gold, diamonds, lava, data["budget"], bonus)


def distances(maze: Maze, origin: Cell, avoid: frozenset[Cell] = frozenset()) -> dict[Cell, int]:
    """Steps from ``origin`` to every cell that can be reached without entering ``avoid``."""
    found = {origin: 0}
    queue = deque([origin])
    while queue:
        cell = queue.popleft()
        for n in maze.neighbours[cell]:
            if n not in found and n not in avoid:
                found[n] = found[cell] + 1
                queue.append(n)
    return found


def zone(corner: Cell, radius: int, size: int) -> list[Cell]:
    """Cells within L1 distance ``radius`` of a corner."""
    cells = ((r, c) for r in range(size) for c in range(size))
    return [cell for cell in cells if abs(cell[0] - corner[0]) + abs(cell[1] - corner[1]) <= radius]


def draw_maze(config: MazeConfig, rng: random.Random) -> Maze | None:
    """One attempt; None when the drawn maze does not keep the promises of the module docstring."""
    size, last = config.size, config.size - 1
    corners = {(0, 0), (last, last), (0, last), (last, 0)}
    cells = [(r, c) for r in range(size) for c in range(size)]
    bonus = frozenset({(size // 2, size // 2)} if config.bonus else ())
    inner = [cell for cell in cells if cell not in corners and cell not in bonus]
    walls = set(rng.sample(inner, round(config.wall_share * len(inner))))
    taken = walls | bonus
    zones = []
    for corner in ((0, last), (last, 0)):
        room = [cell for cell in zone(corner, config.zone_radius, size) if cell not in taken]
        if len(room) < config.num_items:
            return None
        items = frozenset(rng.sample(room, config.num_items))
        taken |= items
        zones.append(items)
    room = [cell for cell in cells if cell not in corners and cell not in taken]
    if len(room) < config.num_lava:
        return None
    lava = frozenset(rng.sample(room, config.num_lava))
    bare = Maze(size, frozenset(walls), zones[0], zones[1], lava, budget=0, bonus=bonus)
    budget = _budget(bare, config)
    return None if budget is None else replace(bare, budget=budget)


def _budget(maze: Maze, config: MazeConfig) -> int | None:
    """Steps to allow, or None when a zone cannot be visited safely or both zones fit into one route."""
    start, end = distances(maze, maze.start), distances(maze, maze.exit)
    gold, diamonds = maze.gold_corner, maze.diamond_corner
    if gold not in start or diamonds not in start or maze.exit not in start:
        return None
    budget = max(start[gold] + end[gold], start[diamonds] + end[diamonds]) + config.budget_slack
    if config.max_budget is not None and budget > config.max_budget:
        return None
    if distances(maze, maze.start, maze.lava).get(maze.exit, budget + 1) > budget:
        return None
    if any(cell not in start for cell in maze.bonus):
        return None
    tour = distances(maze, gold)[diamonds] + min(start[gold] + end[diamonds], start[diamonds] + end[gold])
    return budget if tour > budget else None


def mazes(config: MazeConfig, seed: int) -> Iterator[Maze]:
    """Endless stream of distinct mazes, the same for the same seed.

    Raises:
        RuntimeError: A thousand attempts in a row gave no new maze; the parameters leave too few.
    """
    rng = random.Random(f"vpo-maze-{seed}")
    seen: set[int] = set()
    failures = 0
    while True:
        maze = draw_maze(config, rng)
        if maze is None or maze.key() in seen:
            failures += 1
            if failures > 1000:
                raise RuntimeError(
                    f"{config} gave no new maze in 1000 attempts ({len(seen)} found): lower wall_share or "
                    "num_lava, or raise max_budget."
                )
            continue
        failures = 0
        seen.add(maze.key())
        yield maze
