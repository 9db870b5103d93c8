from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.vpo.tasks.task_rows import (
    TOOL_TURNS,
    deepcoder_rows,
    eureqa_row,
    humaneval_row,
    mbpp_row,
    musique_row,
    toolrl_row,
    write_rows,
)
from vpo.tasks import get_task
from vpo.tasks.rows import BadRowError, local_rows, to_dataset

ROWS = [{"question": "a", "limit": 1}, {"question": "b", "limit": 2}]


def test_json_lines_a_json_array_and_parquet_hold_the_same_rows(tmp_path):
    write_rows(tmp_path / "lines" / "train.jsonl", ROWS)
    (tmp_path / "array").mkdir()
    (tmp_path / "array" / "train.json").write_text(json.dumps(ROWS))
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "parquet" / "train.parquet")
    for name in ("lines", "array", "parquet"):
        rows = list(local_rows(tmp_path / name, ("train",), alone=True))
        assert [row.values for row in rows] == ROWS
        assert rows[1].place.endswith("row 2")


def test_files_of_a_split_are_known_by_their_names_and_shards_are_read_in_order(tmp_path):
    write_rows(tmp_path / "musique_ans_v1.0_dev.jsonl", ROWS[:1])
    write_rows(tmp_path / "train-00001-of-00002.jsonl", ROWS[1:])
    write_rows(tmp_path / "train-00000-of-00002.jsonl", ROWS[:1])
    write_rows(tmp_path / "retrain.jsonl", ROWS)
    assert [row.values for row in local_rows(tmp_path, ("train",), alone=True)] == ROWS
    assert len(list(local_rows(tmp_path, ("validation", "dev"), alone=False))) == 1
    with pytest.raises(ValueError, match="no file of the split 'test'"):
        list(local_rows(tmp_path, ("test",), alone=False))


def test_one_file_is_for_training_and_cannot_be_tested_on_as_well(tmp_path):
    file = write_rows(tmp_path / "mine.jsonl", [musique_row()])
    task = get_task("musique", path=str(file))
    assert len(task.dataset("train", 9, 3)) == 1
    with pytest.raises(ValueError, match=r"one file, which is taken as the training rows: the split 'validation'"):
        task.dataset("test", 9, 3)
    with pytest.raises(ValueError, match="there are no rows at"):
        get_task("musique", path=str(tmp_path / "none")).dataset("train", 9, 3)


def test_a_seed_draws_other_rows_and_none_takes_the_first(tmp_path):
    write_rows(tmp_path / "train.jsonl", [{"n": i} for i in range(50)])

    def numbers(seed):
        return to_dataset(local_rows(tmp_path, ("train",), True), lambda row: dict(row.values), 10, seed)["n"]

    assert list(numbers(None)) == list(range(10))
    assert list(numbers(1)) == list(numbers(1)) != list(numbers(2))
    with pytest.raises(ValueError, match="size is 0"):
        to_dataset([], lambda row: dict(row.values), 0, None)


def change(row, path, value):
    """The row with one place in it changed, or removed with `KeyError`."""
    *parents, last = path
    target = row
    for key in parents:
        target = target[key]
    if value is KeyError:
        del target[last]
    else:
        target[last] = value
    return row


BAD = [
    ("musique", musique_row, ["question"], KeyError, "'question' is missing"),
    ("musique", musique_row, ["question"], 7, "'question' is 7: expected text"),
    ("musique", musique_row, ["answer"], "  ", "'answer' is empty"),
    ("musique", musique_row, ["answer"], "a \ud800", "'answer' holds half of a surrogate pair"),
    ("musique", musique_row, ["paragraphs"], [], "'paragraphs' has 0 entries: expected 1 or more"),
    ("musique", musique_row, ["paragraphs"], "text", "'paragraphs' is 'text': expected a list"),
    ("musique", musique_row, ["paragraphs", 3, "idx"], "3", r"'paragraphs\[3\].idx' is '3': expected a whole number"),
    ("musique", musique_row, ["paragraphs", 3], 5, r"'paragraphs\[3\]' is 5: expected a record"),
    (
        "musique",
        musique_row,
        ["question_decomposition", 1, "paragraph_support_idx"],
        None,  # as in the file with unanswerable questions
        r"'question_decomposition\[1\].paragraph_support_idx' is None",
    ),
    (
        "musique",
        musique_row,
        ["question_decomposition", 0, "paragraph_support_idx"],
        99,
        "is 99: expected the idx of one",
    ),
    ("eureqa", eureqa_row, ["entities"], ["a"] * 5, "'entities' has 5 entries: expected 6"),
    ("eureqa", eureqa_row, ["entities", 2], "", r"'entities\[2\]' is empty"),
    ("eureqa", eureqa_row, ["question"], "one text", "'question' is 'one text': expected a list"),
    ("toolrl", lambda: toolrl_row(TOOL_TURNS[0]), ["prompt"], "text", "'prompt' is 'text': expected a list"),
    ("toolrl", lambda: toolrl_row(TOOL_TURNS[0]), ["prompt", 0, "role"], "judge", r"'prompt\[0\].role' is 'judge'"),
    ("toolrl", lambda: toolrl_row(TOOL_TURNS[0]), ["prompt", 1, "role"], "assistant", "ends with a message of role"),
    (
        "toolrl",
        lambda: toolrl_row(TOOL_TURNS[0]),
        ["reward_model", "ground_truth"],
        KeyError,
        "ground_truth' is missing",
    ),
    ("toolrl", lambda: toolrl_row("<think> x </think>"), [], None, "has neither <tool_call> nor <response>"),
    ("toolrl", lambda: toolrl_row("<tool_call>\n{oops\n</tool_call>"), [], None, "a <tool_call> that cannot be read"),
    ("deepcoder", lambda: deepcoder_rows()[0], ["tests"], "[]", "'tests' has no tests"),
    ("deepcoder", lambda: deepcoder_rows()[0], ["tests"], "{oops", "'tests' is no JSON"),
    ("deepcoder", lambda: deepcoder_rows()[0], ["tests"], '{"inputs": ["1"], "outputs": []}', "of one length"),
    (
        "deepcoder",
        lambda: deepcoder_rows()[0],
        ["tests"],
        '[{"input": "1"}]',
        r"'tests\[0\]' has no input or no output",
    ),
    (
        "deepcoder",
        lambda: deepcoder_rows()[0],
        ["tests"],
        '[{"input": [1], "output": 2, "type": "function_call"}]',
        "a function without a name",
    ),
    ("humaneval", humaneval_row, ["test"], "def check(candidate:", "'test' is no Python"),
    ("humaneval", humaneval_row, ["test"], "x = 1", "defines check 0 times"),
    ("mbpp", mbpp_row, ["test_list"], [], "'test_list' has 0 entries"),
    ("mbpp", mbpp_row, ["test_list", 1], "assert", r"'test_list\[1\]' is no single Python statement"),
]


@pytest.mark.parametrize(("name", "make", "path", "value", "message"), BAD, ids=[f"{b[0]}-{b[4][:30]}" for b in BAD])
def test_a_bad_row_fails_at_load_time_with_its_number_and_column(name, make, path, value, message, tmp_path):
    bad = change(make(), path, value) if path else make()
    good = toolrl_row(TOOL_TURNS[0]) if name == "toolrl" else make()
    split = "test" if name == "humaneval" else "train"
    write_rows(tmp_path / f"{split}.jsonl", [good, bad])
    options = {"source": name} if name in ("deepcoder", "humaneval", "mbpp") else {}
    options |= {"split_rule": "normal_to_hard"} if name == "eureqa" else {}
    if name == "eureqa":
        (tmp_path / "train.jsonl").rename(tmp_path / "questions_normal_5.jsonl")
    task = get_task("code" if "source" in options else name, path=str(tmp_path), **options)
    with pytest.raises(BadRowError, match=rf"jsonl, row 2, column .*{message}"):
        task.dataset(split, 9, 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [(b"{oops", "row 2 is no JSON"), (b"[1]", r"row 2 is \[1\]"), (b'{"a": "\xff"}', "row 2 is no JSON")],
)
def test_a_line_that_is_no_object_is_named(line, message, tmp_path):
    (tmp_path / "train.jsonl").write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(BadRowError, match=message):
        list(local_rows(tmp_path, ("train",), alone=True))


def test_a_dataset_that_cannot_be_reached_is_one_message_that_names_the_way_out():
    with pytest.raises(ValueError, match=r"'dgslibisey/MuSiQue' cannot be loaded .*give the option path="):
        get_task("musique").dataset("train", 1, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.parquet", b""),
        ("train.parquet", b"PAR1" + b"\0" * 40 + b"PAR1"),
        ("train.parquet", "cut"),
        ("train.json", b"[" * 100_000),
        ("train.json", b"[\xff]"),
        ("train.jsonl", b"[" * 100_000),
    ],
)
def test_a_damaged_file_of_rows_is_named(tmp_path, name, content):
    path = tmp_path / name
    if content == "cut":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
        content = path.read_bytes()[:-20] + b"PAR1"
    path.write_bytes(content)
    with pytest.raises(BadRowError, match=name):
        list(local_rows(path, ("train",), True))
