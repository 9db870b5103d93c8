"""Text files as batches of tokens, for the commands that measure on the user's own text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def read_texts(path: Path) -> list[str]:
    """The texts of a file; as :func:`read_rows`."""
    return [row["text"] for row in read_rows(path)]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, each with a ``text`` that is more than white space; of a ``.jsonl`` with its other fields.

    Args:
        path: A ``.jsonl`` with a field ``text`` in every row, or a file whose texts blank lines separate.

    Raises:
        ValueError: A row is no JSON object with a text, there is no text at all, or it is not UTF-8.
    """
    if path.suffix == ".jsonl":
        rows = [_with_text(path, number, row) for number, row in json_rows(path)]
    else:
        rows = [{"text": text} for text in _content(path).split("\n\n")]
    rows = [{**row, "text": row["text"].strip()} for row in rows if row["text"].strip()]
    if not rows:
        raise ValueError(f"{path} holds no text: expected texts that blank lines separate, or .jsonl rows with 'text'.")
    return rows


def json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line numbers, from 1, and what stands in the lines of a ``.jsonl``, whatever it is; empty lines are passed by.

    Raises:
        ValueError: A line is no JSON, or the file is not UTF-8.
    """
    # Not splitlines: JSON may hold U+2028 and its like as they are, and they end no row.
    for number, line in enumerate(_content(path).split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                message = f"{path}, line {number} is not JSON ({error}): expected one object a line."
                raise ValueError(message) from error


def token_batches(
    texts: list[str], tokenizer: Any, length: int, batch_size: int, max_tokens: int
) -> list[dict[str, Tensor]]:
    """Cut texts into sequences and pad them to batches.

    Args:
        texts: From :func:`read_texts`.
        tokenizer: Of the model.
        length: Most tokens of a sequence; a longer text becomes several.
        batch_size: Sequences in a batch.
        max_tokens: Stop after so many tokens.

    Returns:
        Batches with ``input_ids`` and ``attention_mask``, sequences of like length together.
    """
    sequences: list[list[int]] = []
    room = max_tokens
    for text in texts:
        ids = tokenizer(text)["input_ids"][: max(room, 0)]
        room -= len(ids)
        sequences += [ids[start : start + length] for start in range(0, len(ids), length)]
    sequences.sort(key=len)
    return [padded(sequences[start : start + batch_size]) for start in range(0, len(sequences), batch_size)]


def padded(rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask`` (B, T) of sequences, padded on the right with 0."""
    import torch

    ids, mask = torch.zeros(2, len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): expected a file of texts. Save it in UTF-8.") from error


def _with_text(path: Path, number: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(f"{path}, line {number} has no field 'text': expected one in every row.")
    return row
