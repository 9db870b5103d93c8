"""The fast way over chat messages in Parquet is the slow one."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.sources.message_columns import joined_contents, shared_rows
from eval.sources.texts import completion_text

CONTENT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": CONTENT | st.none()})
NAMED = st.fixed_dictionaries({"role": st.just("user"), "content": CONTENT, "name": st.none() | st.just("Ann")})
ROWS = st.lists(st.lists(MESSAGE, max_size=3), max_size=6)


def chunked(rows, start):
    return pa.chunked_array([pa.array(rows), pa.array(rows)]).slice(start)


@given(ROWS | st.lists(st.lists(NAMED, max_size=2), max_size=4), st.integers(0, 3))
def test_rows_are_the_same_and_equal_ones_are_one_object(rows, start):
    rows = [*rows, [{"role": "user", "content": "x"}]]
    column = chunked(rows, start)
    found = shared_rows(column)
    assert found is None or found == column.to_pylist()
    assert found is None or len({id(row) for row in found}) == len({repr(row) for row in found})


@given(ROWS, st.integers(0, 3))
def test_texts_are_those_of_the_slow_way(rows, start):
    rows = [*rows, [{"role": "assistant", "content": "x"}]]
    column = chunked(rows, start)
    found = joined_contents(column)
    assert found is None or found == [completion_text(row) for row in column.to_pylist()]


def test_plain_messages_do_take_the_fast_way():
    column = pa.array([[{"role": "assistant", "content": "a"}, {"role": "tool", "content": "b"}], []])
    assert joined_contents(column) == ["a\nb", ""]
    assert shared_rows(column) == column.to_pylist()


@pytest.mark.parametrize(
    "rows",
    [
        ["text"],
        [[{"role": "user", "content": [{"type": "text", "text": "a"}]}]],
        [None, [{"role": "user", "content": "a"}]],
        [[], []],
        [[1]],
    ],
)
def test_what_is_not_plain_is_left_to_the_slow_way(rows):
    assert shared_rows(pa.array(rows)) is None
    assert joined_contents(pa.array(rows)) is None
