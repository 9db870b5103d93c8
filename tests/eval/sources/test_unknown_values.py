"""What a log does not know stays unknown: never a wrong answer, never an error."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from eval.sources import SourceError, open_source, read_base
from tests.eval.sources.logs import jsonl_text

GENERIC = {"prompt": "p", "completion": "t"}
VERL = {"input": "p", "output": "t", "gts": None, "score": 1.0}


def generic(tmp_path, *records):
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text([{**GENERIC, "step": step, **record} for step, record in enumerate(records)]))
    return open_source(path)


def verl(tmp_path, *extras):
    for step, extra in enumerate(extras, 1):
        (tmp_path / f"{step}.jsonl").write_bytes(jsonl_text([{**VERL, "step": step, **extra}]))
    return open_source(tmp_path)


@pytest.mark.parametrize("none", [{}, {"rewards": None}])
def test_base_samples_of_which_some_have_no_reward_are_unknown_and_not_wrong(tmp_path, none):
    generic(tmp_path, none, {"rewards": {"a": 1.0, "b": 0.0}})
    base = read_base(tmp_path / "log.jsonl")
    assert base.components == ("a", "b")
    np.testing.assert_equal(base.rewards, [[math.nan, math.nan], [1, 0]])


@pytest.mark.parametrize("name", ["tokens", "completion_tokens", "depth", "entropy", "epoch"])
@pytest.mark.parametrize("value", ["many", [1, 2]])
def test_a_column_by_the_name_of_a_number_that_holds_none_is_part_of_the_row(tmp_path, name, value):
    (samples,) = generic(tmp_path, {"reward": 1.0, name: value}).read()
    assert list(samples.rows) == [{name: value}]
    assert (samples.tokens, samples.depths, samples.entropies, samples.epoch) == (None, None, None, None)


def test_of_two_names_for_a_number_the_one_that_holds_numbers_is_read(tmp_path):
    (samples,) = generic(tmp_path, {"reward": 1.0, "tokens": [7, 8], "completion_tokens": 2}).read()
    assert samples.tokens.tolist() == [2] and list(samples.rows) == [{"tokens": [7, 8]}]


def test_a_number_among_which_one_is_none_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(jsonl_text([{**GENERIC, "tokens": tokens} for tokens in (3, None, "many")]))
    with pytest.raises(SourceError, match="line 3: 'tokens' is 'many', expected a finite number"):
        list(open_source(path).read())


def test_a_reward_that_is_null_at_first_is_one_if_the_next_files_say_so(tmp_path):
    steps = list(
        verl(tmp_path, {"acc": None, "pred": None}, {"acc": None, "pred": "7"}, {"acc": 1, "pred": None}).read()
    )
    assert {each.components for each in steps} == {("score", "acc")}
    np.testing.assert_equal([each.rewards[0, 1] for each in steps], [math.nan, math.nan, 1])
    assert [list(each.rows) for each in steps] == [[{"gts": None, "pred": pred}] for pred in (None, "7", None)]


def test_a_reward_that_was_null_when_a_follower_began_is_left_out_with_a_warning(tmp_path):
    source = verl(tmp_path, {"acc": None}, {"acc": None})
    assert [each.components for each in source.poll()] == [("score",)]
    verl(tmp_path, {"acc": None}, {"acc": None}, {"acc": 1}, {"acc": 0})
    assert [(each.step, each.components) for each in source.poll(1)] == [(2, ("score",)), (3, ("score",))]
    assert [(each.step, each.components, list(each.rows)) for each in source.poll(3, final=True)] == [
        (4, ("score",), [{"gts": None}])  # it says something of success: no label may see it
    ]
    (warning,) = [text for text in source.warnings if "acc" in text and "numbers" in text]
    assert "3.jsonl is the first with numbers in 'acc', null till then: it is no reward component here" in warning


def test_a_damaged_file_is_named_when_its_turn_comes(tmp_path):
    verl(tmp_path, {"acc": None}, {"acc": None}, {"acc": 1})
    (tmp_path / "2.jsonl").write_bytes(b"{\n" + json.dumps({**VERL, "step": 2}).encode())
    steps = open_source(tmp_path).read()
    assert next(steps).step == 1
    with pytest.raises(SourceError, match=r"2\.jsonl, line 1 is no JSON"):
        next(steps)
