"""Sudoku with boxes of any shape: solve, make puzzles with one solution, say how hard they are, and which are the same.

Two grids count as the same if a symmetry takes one to the other: new names for the digits, bands and rows within bands
exchanged, stacks and columns within stacks exchanged, and the transposition where boxes are square. There are 2 such
classes of 4x4 grids and 49 of 6x6 grids. Training and test puzzles come from different classes.

A grid or puzzle is a tuple of digits 1..N, row by row, 0 for a blank.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

Grid = tuple[int, ...]


@dataclass(frozen=True)
class Boxes:
    """A board of N = ``rows * columns`` digits, whose boxes are ``rows`` high and ``columns`` wide."""

    rows: int
    columns: int

    @property
    def size(self) -> int:
        return self.rows * self.columns

    @cached_property
    def units(self) -> np.ndarray:
        """(3, N * N) which row, column and box each cell is in."""
        row, column = np.divmod(np.arange(self.size**2), self.size)
        return np.stack([row, column, row // self.rows * self.rows + column // self.columns])

    @cached_property
    def peers(self) -> list[list[int]]:
        """Cells that share a unit with each cell."""
        same = (self.units[:, :, None] == self.units[:, None]).any(0)
        np.fill_diagonal(same, False)
        return [list(np.flatnonzero(row)) for row in same]

    @cached_property
    def symmetries(self) -> np.ndarray:
        """(S, N * N) cell that comes to each place, for every exchange of rows and columns that keeps the boxes."""
        size = self.size
        lines = [_exchanges(size // height, height) for height in (self.rows, self.columns)]
        places = np.array([[r * size + c for r in rows for c in columns] for rows in lines[0] for columns in lines[1]])
        if self.rows == self.columns:
            turned = places.reshape(-1, size, size).transpose(0, 2, 1).reshape(len(places), -1)
            places = np.concatenate([places, turned])
        return places

    def canonical(self, grid: Grid) -> Grid:
        """The same for all grids that a symmetry takes into each other, and for no others."""
        moved = np.asarray(grid)[self.symmetries]
        names = np.zeros((len(moved), self.size + 1), dtype=np.int64)
        rows = np.arange(len(moved))
        for place, following in enumerate(range(1, self.size + 1)):  # the first row names the digits in order
            names[rows, moved[:, place]] = following
        renamed = np.take_along_axis(names, moved, axis=1)
        return tuple(int(d) for d in renamed[np.lexsort(renamed.T[::-1])[0]])


def _exchanges(bands: int, height: int) -> list[list[int]]:
    """Orders of the lines: bands exchanged, and lines within each band."""
    inner = list(itertools.permutations(range(height)))
    return [
        [band * height + line for band, lines in zip(order, chosen, strict=True) for line in lines]
        for order in itertools.permutations(range(bands))
        for chosen in itertools.product(inner, repeat=bands)
    ]


@dataclass
class Solved:
    """What a search found: up to ``limit`` solutions, and the branches beyond the first of each choice it tried."""

    solutions: list[Grid]
    branches: int


def solve(boxes: Boxes, puzzle: Grid, limit: int = 2, rng: random.Random | None = None) -> Solved:
    """Search with the fewest candidates first; in random order if ``rng`` is given."""
    everything = (1 << boxes.size) - 1
    used = [[0] * boxes.size for _ in range(3)]
    units = _units(boxes)
    cells, found = list(puzzle), Solved([], 0)
    blanks = []
    for cell, digit in enumerate(cells):
        if not digit:
            blanks.append(cell)
            continue
        bit = 1 << (digit - 1)
        for kind, unit in enumerate(units[cell]):
            if used[kind][unit] & bit:
                return found  # a digit twice in a unit
            used[kind][unit] |= bit

    def search() -> None:
        best, fewest = -1, boxes.size + 1
        for cell in blanks:
            if cells[cell]:
                continue
            r, c, b = units[cell]
            options = (everything & ~(used[0][r] | used[1][c] | used[2][b])).bit_count()
            if options < fewest:
                best, fewest = cell, options
                if options <= 1:
                    break
        if best < 0:
            found.solutions.append(tuple(cells))
            return
        r, c, b = units[best]
        free = everything & ~(used[0][r] | used[1][c] | used[2][b])
        digits = [d for d in range(boxes.size) if free >> d & 1]
        if rng is not None:
            rng.shuffle(digits)
        for number, digit in enumerate(digits):
            if len(found.solutions) >= limit:
                return
            found.branches += number > 0
            bit = 1 << digit
            cells[best] = digit + 1
            used[0][r] |= bit
            used[1][c] |= bit
            used[2][b] |= bit
            search()
            cells[best] = 0
            used[0][r] &= ~bit
            used[1][c] &= ~bit
            used[2][b] &= ~bit

    search()
    return found


@cache
def _units(boxes: Boxes) -> list[tuple[int, int, int]]:
    return [(int(r), int(c), int(b)) for r, c, b in boxes.units.T]


@cache
def classes(boxes: Boxes, draws: int = 1000) -> list[Grid]:
    """Canonical grids of the classes, in order: all that ``draws`` random grids come from."""
    rng = random.Random(0)
    empty = (0,) * boxes.size**2
    return sorted({boxes.canonical(solve(boxes, empty, 1, rng).solutions[0]) for _ in range(draws)})


def dig(boxes: Boxes, grid: Grid, blanks: int, rng: random.Random) -> Grid:
    """Blank ``blanks`` cells, or as many as leave one solution when tried in random order."""
    puzzle = list(grid)
    for cell in rng.sample(range(len(grid)), len(grid)):
        if puzzle.count(0) == blanks:
            break
        digit, puzzle[cell] = puzzle[cell], 0
        taken = {puzzle[peer] for peer in boxes.peers[cell]}
        for other in range(1, boxes.size + 1):
            # With one solution before, there is another now only if it has another digit here.
            if other == digit or other in taken:
                continue
            if solve(boxes, (*puzzle[:cell], other, *puzzle[cell + 1 :]), 1).solutions:
                puzzle[cell] = digit
                break
    return tuple(puzzle)


def rounds(boxes: Boxes, puzzle: Grid) -> int | None:
    """Rounds in which all cells with one candidate, and all digits with one place in a unit, are filled in together.

    None if that does not solve it, and something must be tried.
    """
    cells = np.asarray(puzzle)
    size, units = boxes.size, boxes.units
    for number in range(size**2 + 1):
        if cells.all():
            return number
        taken = np.zeros((3, size, size), dtype=bool)  # kind, unit, digit
        filled = np.flatnonzero(cells)
        for kind in range(3):
            taken[kind, units[kind, filled], cells[filled] - 1] = True
        free = ~(taken[0, units[0]] | taken[1, units[1]] | taken[2, units[2]])  # (cells, digits)
        free[filled] = False
        places = np.zeros((3, size, size), dtype=int)
        for kind in range(3):
            np.add.at(places[kind], units[kind], free)
        only_place = (places[np.arange(3)[:, None], units] == 1).any(0) & free
        certain = only_place | (free & (free.sum(1, keepdims=True) == 1))
        where, what = np.nonzero(certain)
        if not len(where):
            return None
        cells = cells.copy()
        cells[where] = what + 1
    return None


def disguise(boxes: Boxes, puzzles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P, 2, N * N) puzzles and solutions -> the same under a random symmetry each."""
    places = boxes.symmetries[rng.integers(len(boxes.symmetries), size=len(puzzles))]
    moved = np.take_along_axis(puzzles, places[:, None], axis=2)
    names = np.zeros((len(puzzles), boxes.size + 1), dtype=puzzles.dtype)
    names[:, 1:] = rng.permuted(np.tile(np.arange(1, boxes.size + 1), (len(puzzles), 1)), axis=1)
    return np.take_along_axis(names[:, None], moved, axis=2)
