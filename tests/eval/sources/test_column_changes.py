"""A column that comes, goes or changes its type in the middle of a run is named."""

from __future__ import annotations

import pytest

from eval.sources import open_source
from tests.eval.sources.logs import jsonl_text

RECORD = {"prompt": "p", "completion": "t", "reward": 1.0}


def warnings_of(tmp_path, *columns):
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text([{**RECORD, "step": step, **extra} for step, extra in enumerate(columns)]))
    source = open_source(path)
    assert len(list(source.read())) == len(columns)
    return source.warnings


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([{"format": "code"}, {}], "step 1 lacks 'row: format' against step 0: what is read from such a column"),
        ([{}, {}, {"format": "code"}], "step 2 gains 'row: format' against step 1"),
        ([{"format": "code"}, {"kind": "code"}], "step 1 gains 'row: kind' and lacks 'row: format' against step 0"),
        ([{"format": "code"}, {"format": 3}], "'row: format' is number from step 1 on, and was text up to step 0"),
        ([{"format": "a"}, {"format": None}, {"format": ["a"]}], "'row: format' is list from step 2 on, and was text"),
        ([{}, {"finish_reason": "length"}], "step 1 gains 'finish_reasons' against step 0"),
        ([{"tokens": 3}, {"tokens": None}], "step 1 lacks 'tokens' against step 0"),
    ],
)
def test_a_changed_column_is_named_with_its_step(tmp_path, columns, message):
    (warning,) = warnings_of(tmp_path, *columns)
    assert warning.startswith(message)


@pytest.mark.parametrize("values", [("a", None, "b"), (1, 1.5, None), (None, "a", "b")])
def test_nulls_and_whole_numbers_are_no_change(tmp_path, values):
    assert warnings_of(tmp_path, *[{"level": value} for value in values]) == []


def test_a_change_is_named_once(tmp_path):
    assert len(warnings_of(tmp_path, *[{"a": 1}, {}] * 10)) == 1
