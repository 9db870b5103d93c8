"""Questions of the halting laboratory: each has one answer, and none of a test was in training."""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # where a benchmark finds its parts

from halting.controls import majority, oracle, shares
from halting.sudoku import Boxes, classes, dig, disguise, rounds, solve
from halting.tasks import UNLABELLED, Batch, SudokuTask, tasks

SMALL = Boxes(2, 2)
EMPTY = (0,) * 16


def all_grids() -> list[tuple[int, ...]]:
    """By brute force: four permutations on top of each other that repeat no digit in a column or box."""
    rows = list(itertools.permutations(range(1, 5)))
    found = []
    for four in itertools.product(rows, repeat=4):
        columns = all(len({row[c] for row in four}) == 4 for c in range(4))
        if columns and all(len({*four[r][c : c + 2], *four[r + 1][c : c + 2]}) == 4 for r in (0, 2) for c in (0, 2)):
            found.append(tuple(itertools.chain(*four)))
    return found


@pytest.fixture(scope="module")
def grids() -> list[tuple[int, ...]]:
    return sorted(solve(SMALL, EMPTY, limit=1000).solutions)


@pytest.mark.slow
def test_the_solver_finds_the_grids_that_brute_force_finds(grids):
    assert grids == sorted(all_grids())


def test_there_are_288_grids_of_four_in_2_classes(grids):
    assert len(grids) == len(set(grids)) == 288
    assert sorted({SMALL.canonical(grid) for grid in grids}) == classes(SMALL)
    assert len(classes(SMALL)) == 2


@pytest.mark.slow
def test_there_are_49_classes_of_grids_of_six():
    assert len(classes(Boxes(2, 3))) == 49


@given(seed=st.integers(0, 10**6), boxes=st.sampled_from([SMALL, Boxes(2, 3)]))
def test_a_disguise_keeps_a_puzzle_solved_by_its_solution_and_its_class(seed, boxes):
    rng = random.Random(seed)
    grid = solve(boxes, (0,) * boxes.size**2, 1, rng).solutions[0]
    puzzle = dig(boxes, grid, boxes.size + 2, rng)
    (moved,) = disguise(boxes, np.array([[puzzle, grid]]), np.random.default_rng(seed))
    shown, hidden = (tuple(int(d) for d in each) for each in moved)
    assert solve(boxes, shown).solutions == [hidden]
    assert boxes.canonical(hidden) == boxes.canonical(grid)
    assert shown.count(0) == puzzle.count(0)


@pytest.mark.parametrize("blanks", [5, 9, 16])
def test_a_puzzle_leaves_one_grid_of_all(grids, blanks):
    rng = random.Random(blanks)
    for _ in range(40):
        grid = rng.choice(grids)
        puzzle = dig(SMALL, grid, blanks, rng)
        assert [g for g in grids if all(p in (0, d) for p, d in zip(puzzle, g, strict=True))] == [grid]
        if blanks == 16:  # no clue can be spared
            for cell in filter(puzzle.__getitem__, range(16)):
                assert len(solve(SMALL, (*puzzle[:cell], 0, *puzzle[cell + 1 :])).solutions) > 1


def test_a_puzzle_that_contradicts_itself_has_no_solution():
    assert solve(SMALL, (1, 1, *EMPTY[2:])).solutions == []


def test_rounds_count_what_can_be_filled_in_together(grids):
    grid = grids[0]
    assert rounds(SMALL, grid) == 0
    assert rounds(SMALL, (0, *grid[1:])) == 1
    assert rounds(SMALL, EMPTY) is None


def test_no_grid_of_a_test_was_trained_on(tmp_path):
    task = SudokuTask(SMALL, (3, 9), 60, tmp_path)
    kinds = {
        split: {SMALL.canonical(tuple(g)) for g in task.make(split)[:, 1]} for split in ("train", "test", "shifted")
    }
    assert not kinds["train"] & (kinds["test"] | kinds["shifted"])
    assert kinds["train"] | kinds["test"] == set(classes(SMALL))


@pytest.mark.parametrize("name", ["sudoku4", "maze", "addition", "a5"])
def test_the_answer_is_what_another_way_finds(name, tmp_path):
    task = tasks(tmp_path, 20)[name]
    for split in ("train", "test", "shifted"):
        size = task.sizes_of(split)[-1]
        batch = task.draw(split, 8, size, np.random.default_rng(0))
        found = torch.stack([oracle(name, ids, size) for ids in batch.ids])
        assert shares(found, batch.labels) == {"tokens": 1.0, "instances": 1.0}
        assert int(batch.ids.max()) < task.vocabulary and int(batch.labels.max()) < task.answers
        assert task.sees(size).shape == (4, batch.ids.shape[1], batch.ids.shape[1])


def test_the_majority_knows_the_places_and_not_the_question():
    labels = torch.tensor([[1, 0], [1, 2], [1, 2], [0, UNLABELLED]])
    train = Batch(2, torch.zeros_like(labels), labels, torch.zeros(4))
    assert majority(train, train) == {"tokens": 5 / 7, "instances": 2 / 4}
