"""Text files as batches of tokens, for the commands that measure on the user's own text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def read_texts(path: Path) -> list[str]:
    """The texts of a file: rows with a field ``text`` of a ``.jsonl``, else what blank lines separate.

    Raises:
        ValueError: A row is no JSON object with a text, or there is no text at all.
    """
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        texts = [_text(path, number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    else:
        texts = content.split("\n\n")
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        raise ValueError(f"{path} holds no text: expected texts that blank lines separate, or .jsonl rows with 'text'.")
    return texts


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
    import torch

    sequences: list[list[int]] = []
    room = max_tokens
    for text in texts:
        ids = tokenizer(text)["input_ids"][: max(room, 0)]
        room -= len(ids)
        sequences += [ids[start : start + length] for start in range(0, len(ids), length)]
    sequences.sort(key=len)
    batches = []
    for start in range(0, len(sequences), batch_size):
        rows = sequences[start : start + batch_size]
        ids, mask = torch.zeros(2, len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        batches.append({"input_ids": ids, "attention_mask": mask})
    return batches


def _text(path: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {number} is not JSON ({error}): expected one object a line.") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError(f"{path}, line {number} has no field 'text': expected one in every row.")
    return row["text"]
