"""Texts that commands read, and the batches of tokens that come of them."""

from __future__ import annotations

import json

import pytest

from vpo.cli.texts import read_rows, read_texts, token_batches
from vpo.tasks.word_tokenizer import word_tokenizer


def test_texts_are_rows_or_what_blank_lines_separate(tmp_path):
    plain, rows = tmp_path / "a.txt", tmp_path / "a.jsonl"
    plain.write_text("one\ntwo\n\n\n three \n\n")
    rows.write_text('{"text": "one\\n\\ntwo"}\n\n{"text": "three", "id": 3}\n')
    assert read_texts(plain) == ["one\ntwo", "three"]
    assert read_texts(rows) == ["one\n\ntwo", "three"]
    assert read_rows(rows) == [{"text": "one\n\ntwo"}, {"text": "three", "id": 3}]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_a_line_separator_within_a_text_ends_no_row(tmp_path, separator):
    path = tmp_path / "a.jsonl"
    row = {"text": f"one{separator}two", "difficulty": 0}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8", newline="")
    assert read_rows(path) == [row]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ("9" * 5000, "line 1 is not JSON"),
        ('{"text": "a"}\n{"prompt": "b"}', "line 2 has no field 'text'"),
        ("[1]", "line 1 has no field 'text'"),
    ],
)
def test_rows_without_a_text_are_named(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_texts(path)


def test_texts_in_another_encoding_are_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_texts(path)


def test_long_texts_become_several_sequences_and_nothing_is_lost_before_the_limit():
    tokenizer = word_tokenizer(["go", "now", "red", "blue", "green", "one", "two"])
    texts = ["go now red blue green", "one two", "red"]
    ids = [tokenizer(each)["input_ids"] for each in texts]
    batches = token_batches(texts, tokenizer, length=3, batch_size=2, max_tokens=100)
    found = sorted(
        row[mask.bool()].tolist()
        for b in batches
        for row, mask in zip(b["input_ids"], b["attention_mask"], strict=True)
    )
    assert found == sorted(each[i : i + 3] for each in ids for i in range(0, len(each), 3))
    few = token_batches(texts, tokenizer, length=3, batch_size=2, max_tokens=4)
    assert sum(int(b["attention_mask"].sum()) for b in few) == 4
