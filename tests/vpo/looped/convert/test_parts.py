"""Which layers go where, as counts, lists and ranges say it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.smollm2 import smollm2_fixture  # noqa: F401
from tests.vpo.looped.convert.sources import source
from vpo.looped.convert import convert
from vpo.looped.parts import read_parts, spell


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((2, 3, 1), ((0, 1), (2, 3, 4), (5,))),
        (("2", "3", "1"), ((0, 1), (2, 3, 4), (5,))),
        (("0-1", "2-4", "5-5"), ((0, 1), (2, 3, 4), (5,))),
        (("0, 1", [2, 3, 4], range(5, 6)), ((0, 1), (2, 3, 4), (5,))),
        ((0, 6, 0), ((), (0, 1, 2, 3, 4, 5), ())),
        (("0-1,2", "3", 2), ((0, 1, 2), (3, 4, 5), ())),
    ],
)
def test_counts_lists_and_ranges_say_the_same(said, expected):
    if expected[2] == ():
        said = (*said[:2], 0)
    assert read_parts(*said, num_layers=6) == expected


def test_a_count_takes_what_follows_the_part_before():
    assert read_parts("0-1", "3-4", 1, 6, drop_rest=True) == ((0, 1), (3, 4), (5,))


@given(st.lists(st.integers(0, 40), unique=True, min_size=1).map(sorted))
def test_spelled_layers_are_read_back(layers):
    assert read_parts(0, spell(layers), 0, 41, drop_rest=True).core == tuple(layers)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (("0-2", "2-4", "5-5"), "layer 2 is in the prelude and in the core"),
        (("2-3", "0-1", "4-5"), "core has layer 0 after layer 3"),
        (([1, 0], "2-4", "5-5"), "prelude has layer 0 after layer 1"),
        (([0, 0], "1-4", "5-5"), "prelude has layer 0 after layer 0"),
        ((2, 3, 2), r"coda=2 takes layers 5-6, but the model's last layer is 5"),
        (("0-1", "2-4", "5-6"), "coda names layer 6: the model has layers 0-5"),
        (("0-1", "2-4", [-1]), "coda names layer -1"),
        ((3, 0, 3), "core is 0: expected one layer at least"),
        ((-1, 3, 3), "prelude is -1: expected a number of layers"),
        ((True, 3, 2), "prelude is True"),
        ((2, "a-b", 1), "core is 'a-b': expected a number of layers as '8', a range"),
        ((2, "4-2", 1), "holds the range 4-2, which runs backwards"),
        ((2, 2, 1), r"5-5 are in no part.*drop_rest=True"),
        (("0-0", "2-2", "5-5"), r"1,3-4 are in no part"),
    ],
)
def test_parts_that_make_no_sense_are_refused(said, message):
    with pytest.raises(ValueError, match=message):
        convert(source(), *said)
