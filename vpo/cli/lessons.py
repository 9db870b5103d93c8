"""Rows of a prompt and a completion as batches of tokens, in which it is known whose token each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpo.cli.texts import json_rows, padded

if TYPE_CHECKING:
    from torch import Tensor

Messages = Sequence[Mapping[str, Any]]


def holds_lessons(path: Path) -> bool:
    """Whether a file is ``.jsonl`` whose first row has a prompt and a completion, and no text."""
    if path.suffix != ".jsonl":
        return False
    _, first = next(json_rows(path), (0, {}))
    return isinstance(first, dict) and "text" not in first and {"prompt", "completion"} <= first.keys()


def read_lessons(path: Path) -> list[tuple[str | Messages, str | Messages]]:
    """The prompts and completions of a ``.jsonl``, each text or chat messages.

    Raises:
        ValueError: A row is no JSON object with both.
    """
    found = []
    for number, row in json_rows(path):
        pair = tuple(row.get(name) for name in ("prompt", "completion")) if isinstance(row, dict) else ()
        if len(pair) != 2 or not all(_is_said(each) for each in pair):
            raise ValueError(
                f"{path}, line {number} has no prompt and completion: expected both in every row, each text or chat "
                "messages, as the first row has."
            )
        found.append(pair)
    return found  # type: ignore[return-value]  # checked above


def lesson_batches(
    lessons: Sequence[tuple[str | Messages, str | Messages]],
    tokenizer: Any,
    length: int,
    batch_size: int,
    max_tokens: int,
) -> tuple[list[dict[str, Tensor]], int]:
    """Tokenize as in training, and pad to batches.

    A prompt of chat messages goes through the chat template; a completion of text ends with the end token.

    Args:
        lessons: From `read_lessons`.
        tokenizer: Of the model.
        length: Most tokens of a sequence; a longer completion is cut there.
        batch_size: Sequences in a batch.
        max_tokens: Stop after so many tokens.

    Returns:
        Batches with ``input_ids``, ``attention_mask`` and ``completion_mask``, sequences of like length together; and
        how many lessons were left out, as their prompt alone is as long as that.

    Raises:
        ValueError: A chat's template does not begin a whole chat as it begins its prompt.
    """
    sequences: list[tuple[list[int], list[int]]] = []
    room, long = max_tokens, 0
    for prompt, completion in lessons:
        if room <= 0:
            break
        begins, ends = _ids(prompt, completion, tokenizer)
        ids = [*begins, *ends][: min(length, room)]
        if len(begins) >= length:
            long += 1
        elif len(ids) > len(begins) > 0:
            room -= len(ids)
            sequences.append((ids, [0] * len(begins) + [1] * (len(ids) - len(begins))))
    sequences.sort(key=lambda each: len(each[0]))
    batches = []
    for start in range(0, len(sequences), batch_size):
        rows = sequences[start : start + batch_size]
        batch = padded([ids for ids, _ in rows])
        batches.append({**batch, "completion_mask": padded([mask for _, mask in rows])["input_ids"]})
    return batches, long


def _ids(prompt: str | Messages, completion: str | Messages, tokenizer: Any) -> tuple[list[int], list[int]]:
    from vpo.cli.depth_tasks import prompt_ids

    begins = prompt_ids(prompt, tokenizer)
    if isinstance(completion, str):
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        return begins, [*tokenizer(completion, add_special_tokens=False)["input_ids"], *end]
    if isinstance(prompt, str):
        text = "".join(str(message.get("content") or "") for message in completion)
        return _ids(prompt, text, tokenizer)
    head = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([*prompt, *completion], tokenize=False)
    if not whole.startswith(head):
        raise ValueError(
            "the chat template writes a prompt's beginning otherwise once it has its answer: expected the same. Give "
            "the completion as text."
        )
    return begins, list(tokenizer(whole[len(head) :], add_special_tokens=False)["input_ids"])


def _is_said(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, dict) for each in value)
    return isinstance(value, str) and bool(value)
