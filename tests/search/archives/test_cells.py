import math

import pytest

from search.archives import CellArchive, grid, strongest_two
from tests.search.procedures.told_results import result


def candidate(answer, vector, first_id=0):
    return result((answer, vector), first_id=first_id).candidates[0]


@pytest.mark.parametrize(
    ("vector", "cell"),
    [((0.1, 0.9, 0.5), (1, 2)), ((0.9, 0.9, 0.9), (0, 1)), ((0.0, 0.0, 1.0), (0, 2)), ((3.0,), (0,))],
)
def test_default_cell_is_the_two_strongest_components(vector, cell):
    assert strongest_two(candidate("a", vector)) == cell


def test_cell_keeps_the_highest_scalar_then_the_shorter_then_the_earlier_answer():
    archive = CellArchive(lambda candidate: 0)
    assert archive.add(candidate("long", (1.0,), 0))
    assert not archive.add(candidate("worse", (0.5,), 1))
    assert archive.add(candidate("ab", (1.0,), 2))
    assert not archive.add(candidate("cd", (1.0,), 3))
    assert archive.add(candidate("the best", (2.0,), 4))
    assert [elite.id for elite in archive.elites] == [4]


def test_cells_do_not_compete():
    archive = CellArchive(lambda candidate: len(candidate.answer))
    for index, answer in enumerate(["a", "bb", "c"]):
        archive.add(candidate(answer, (float(index),), index))
    assert [elite.answer for elite in archive.elites] == ["c", "bb"]


@pytest.mark.parametrize(
    ("value", "cell"), [(0.0, 0), (0.24, 0), (0.25, 1), (0.999, 3), (1.0, 3), (-5.0, 0), (math.inf, 3)]
)
def test_grid_cuts_a_range_into_equal_bins_and_clips_what_lies_outside(value, cell):
    descriptor = grid(lambda c: (value, 10.0), lower=(0, 0), upper=(1, 20), num_bins=(4, 2))
    assert descriptor(candidate("a", (1.0,))) == (cell, 1)


def test_grids_that_are_none_and_measures_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="have 1, 2 and 1 entries, expected one each per measure"):
        grid(lambda c: (0,), lower=(0,), upper=(1, 2), num_bins=(3,))
    with pytest.raises(ValueError, match="do not span a grid, expected lower < upper and at least one bin"):
        grid(lambda c: (0,), lower=(1,), upper=(1,), num_bins=(3,))
    with pytest.raises(ValueError, match=r"measures gave \[0, 1\], expected 1 numbers"):
        grid(lambda c: (0, 1), lower=(0,), upper=(1,), num_bins=(3,))(candidate("a", (1.0,)))
    with pytest.raises(ValueError, match=r"measures gave \[nan\], expected 1 numbers"):
        grid(lambda c: (math.nan,), lower=(0,), upper=(1,), num_bins=(3,))(candidate("a", (1.0,)))
