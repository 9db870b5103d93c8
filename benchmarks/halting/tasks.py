"""The tasks of the laboratory, in one form: tokens in, a label for some of them, and who sees whom.

Each of the four heads of attention sees one kind of neighbour: in Sudoku the row, the column, the box and everything;
in mazes the cell beyond each side; in the serial tasks (`serial_depth/tasks.py`) the one, two and three tokens before,
and these together. Every head also sees its own cell. Attention goes both ways but for the serial tasks.

What differs between training and test: Sudoku's test grids are of other classes (`sudoku.py`), and every puzzle comes
in a new disguise each time; mazes and sequences are drawn anew. ``shifted`` is harder than what is trained on: puzzles
that have no clue to spare, mazes of 10 and 12 cells a side, longer sequences.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from halting.mazes import STEPS, TOKENS, draw_maze
from halting.sudoku import Boxes, classes, dig, disguise, rounds
from serial_depth.tasks import TASKS as SERIAL
from torch import Tensor

HEADS = 4
UNLABELLED = -100  # what cross_entropy leaves out


@dataclass(frozen=True)
class Batch:
    """Instances of one size."""

    size: int  # what the task calls so: digits of a Sudoku, cells a side, tokens
    ids: Tensor  # (B, T)
    labels: Tensor  # (B, T), UNLABELLED where nothing is asked
    hardness: Tensor  # (B,) blanks, cells of the path, or tokens

    def take(self, rows: Tensor | slice) -> Batch:
        return Batch(self.size, self.ids[rows], self.labels[rows], self.hardness[rows])


Draw = Callable[[str, int, int, np.random.Generator], Batch]  # split, rows, size, generator


@dataclass(frozen=True)
class Task:
    name: str
    vocabulary: int
    answers: int  # number of labels
    sizes: tuple[int, ...]  # of training and of the test like it
    shifted_sizes: tuple[int, ...]
    draw: Draw  # splits "train", "test" and "shifted"
    sees: Callable[[int], Tensor]  # size -> (HEADS, T, T) bool
    effort: float = 1.0  # updates, relative to the plan's

    def sizes_of(self, split: str) -> tuple[int, ...]:
        return self.shifted_sizes if split == "shifted" else self.sizes


@dataclass(frozen=True)
class SudokuTask:
    """Draws puzzles of one kind of board; the base puzzles are made once and kept in ``folder``."""

    boxes: Boxes
    blanks: tuple[int, int]  # fewest and most in training and test
    base: int  # puzzles of each split
    folder: Path

    def split_of(self, index: int) -> str:
        """Of a class: a fourth of them is for the tests."""
        return "test" if index % 4 == 0 else "train"

    def make(self, split: str) -> np.ndarray:
        """(P, 2, N * N) puzzles and solutions."""
        path = self.folder / f"sudoku{self.boxes.size}-{self.base}-{split}.npy"
        if path.exists():
            return np.load(path)
        kind = "test" if split == "shifted" else split
        grids = [grid for index, grid in enumerate(classes(self.boxes)) if self.split_of(index) == kind]
        rng = random.Random(f"{self.boxes.size} {split}")
        found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        while len(found) < self.base:
            grid = rng.choice(grids)
            blanks = self.boxes.size**2 if split == "shifted" else rng.randint(*self.blanks)
            puzzle = dig(self.boxes, grid, blanks, rng)
            if split != "shifted" or puzzle.count(0) > self.blanks[1]:
                found.append((puzzle, grid))
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npy")
        np.save(temporary, np.array(found, dtype=np.int64))
        temporary.replace(path)
        return np.load(path)

    def draw(self, split: str, rows: int, size: int, rng: np.random.Generator) -> Batch:
        base = _kept(self, split)
        chosen = rng.integers(len(base), size=rows) if rows > len(base) else rng.permutation(len(base))[:rows]
        both = torch.from_numpy(disguise(self.boxes, base[chosen], rng))
        puzzle, solution = both[:, 0], both[:, 1]
        labels = torch.where(puzzle == 0, solution - 1, UNLABELLED)
        return Batch(size, puzzle, labels, (puzzle == 0).sum(1))

    def sees(self, size: int) -> Tensor:
        units = torch.from_numpy(self.boxes.units)
        same = units[:, :, None] == units[:, None]
        return torch.cat([same, torch.ones_like(same[:1])])

    def hardness(self, split: str) -> list[int | None]:
        """Rounds of certain digits that each base puzzle needs; None if it needs a search."""
        return [rounds(self.boxes, tuple(int(d) for d in puzzle)) for puzzle in _kept(self, split)[:, 0]]


@cache
def _kept(task: SudokuTask, split: str) -> np.ndarray:
    return task.make(split)


def _draw_mazes(split: str, rows: int, size: int, rng: np.random.Generator) -> Batch:
    source = random.Random(int(rng.integers(2**60)))
    tokens, labels = (torch.tensor(each) for each in zip(*(draw_maze(size, source) for _ in range(rows)), strict=True))
    return Batch(size, tokens, labels, labels.sum(1))


def _maze_neighbours(size: int) -> Tensor:
    cells = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).flatten(0, 1)
    away = cells[None] - cells[:, None]  # from a cell to another
    self_seen = torch.eye(size**2, dtype=torch.bool)
    return torch.stack([(away == torch.tensor(step)).all(-1) | self_seen for step in STEPS])


def _draw_serial(name: str) -> Draw:
    def draw(split: str, rows: int, size: int, rng: np.random.Generator) -> Batch:
        generator = torch.Generator().manual_seed(int(rng.integers(2**60)))
        drawn = SERIAL[name]().draw(rows, size, generator)
        labels = drawn.labels.clone()
        labels[:, 0] = UNLABELLED
        return Batch(size, drawn.ids, labels, torch.full((rows,), size))

    return draw


def _tokens_before(size: int) -> Tensor:
    place = torch.arange(size + 1)
    distance = place[:, None] - place
    one_each = [(distance == 0) | (distance == away) for away in (1, 2, 3)]
    return torch.stack([*one_each, (distance >= 0) & (distance <= 3)])


def tasks(folder: Path, base: int) -> dict[str, Task]:
    """All tasks; ``base`` Sudoku puzzles of each kind and split, kept in ``folder``."""
    small = SudokuTask(Boxes(2, 2), (3, 9), base, folder)
    large = SudokuTask(Boxes(2, 3), (3, 24), base, folder)
    mazes, longer = (3, 4, 5, 6, 7, 8), (10, 12)
    found = [
        Task("sudoku4", 5, 4, (4,), (4,), small.draw, small.sees),
        Task("sudoku6", 7, 6, (6,), (6,), large.draw, large.sees),
        Task("maze", TOKENS, 2, mazes, longer, _draw_mazes, _maze_neighbours, 1.4),
        Task("addition", 64, 10, (4, 6, 8, 10, 12), (16, 24), _draw_serial("addition"), _tokens_before, 1.4),
        Task("a5", 64, 60, (2, 4, 6, 8), (12, 16), _draw_serial("a5"), _tokens_before, 6.0),
    ]
    return {task.name: task for task in found}
