"""Columns of one step, as a log has them, to :class:`~eval.samples.Samples`.

Every log that is a table of completions comes through here, JSON lines and Parquet alike: a log kind says what its
columns are called (:class:`Names`), and the rest is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from eval.samples import Samples
from eval.sources.errors import SourceError
from eval.sources.rewards import Place, number_column, reward_matrix
from eval.sources.sampling import SAMPLING_COLUMNS, sampling_of
from eval.sources.texts import completion_text, encodable, is_messages, prompt_id, prompt_text

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "tool_calls": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_length": "length",
}
_TOKENS = ("tokens", "completion_tokens")
_ENTROPIES = ("entropy", "policy_entropy")
_DEPTHS = ("depth", "mean_depth")
_REASONS = ("finish_reason",)
_NUMBERS = {"epoch", *_TOKENS, *_ENTROPIES, *_DEPTHS}
_KNOWN = {"step", "prompt_id", "advantage", *_NUMBERS, *_REASONS, *SAMPLING_COLUMNS}


@dataclass(frozen=True)
class Names:
    """What a kind of log calls its columns.

    Attributes:
        prompt: Text or chat messages.
        completion: Text or chat messages.
        left_out: Columns that are neither rewards nor part of the dataset row.
    """

    prompt: str = "prompt"
    completion: str = "completion"
    left_out: frozenset[str] = frozenset()


def samples_from_columns(
    step: int, columns: Mapping[str, Sequence[Any]], names: Names, components: Sequence[str], place: Place
) -> Samples:
    """Build the samples of one step.

    Args:
        step: Optimizer step.
        columns: Columns with N values each; null where there is none. ``finish_reason``, ``tokens``, ``entropy``,
            ``depth``, ``epoch`` and the settings of sampling are understood; what else there is makes the rows, as
            does a column under one of these names that holds no number, such as ``tokens`` with texts.
        names: Names of prompt and completion.
        components: Columns that are rewards.
        place: Where the i-th sample was read, for messages.

    Raises:
        SourceError: A value is not of its kind, or a step holds samples drawn in two ways.
    """
    completions = columns.get(names.completion)
    if completions is None:
        raise SourceError(
            f"{place(0)} has no '{names.completion}': expected the text of a completion, got {', '.join(columns)}. "
            "Point at a log of completions, or name its kind with kind=."
        )
    num = len(completions)
    asked = columns.get(names.prompt) or [None] * num
    ids, prompts = _prompts(columns, names, place)
    foreign = {name for name in _NUMBERS & columns.keys() if not _may_be_numbers(columns[name])}
    used = {names.prompt, names.completion, *components, *names.left_out, *_KNOWN} - foreign
    rest = {name: column for name, column in columns.items() if name not in used and not name.startswith("__")}
    tokens = _numbers(columns, _TOKENS, place)
    reasons = _first(columns, _REASONS)
    return Samples(
        step=step,
        epoch=_epoch(columns, place),
        prompt_ids=ids,
        texts=encodable(
            [
                _completion(value, prompt, names.completion, place, i)
                for i, (value, prompt) in enumerate(zip(completions, asked, strict=True))
            ]
        ),
        rewards=reward_matrix({name: columns[name] for name in components}, num, place),
        components=tuple(components),
        completions=np.arange(num),
        prompts=prompts,
        finish_reasons=None if reasons is None else [_FINISH.get(str(reason), "") for reason in reasons],
        tokens=None if tokens is None or np.isnan(tokens).any() else tokens.astype(np.int64),
        depths=_numbers(columns, _DEPTHS, place),
        entropies=_numbers(columns, _ENTROPIES, place),
        rows=ColumnRows(rest, num) if rest else None,
        sampling=sampling_of(columns, place),
    )


class ColumnRows(Sequence[Mapping[str, Any]]):
    """Rows of a table that are made only when they are looked at: most monitors never do."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], num: int) -> None:
        self._columns = columns
        self._num = num

    def __len__(self) -> int:
        return self._num

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [self[i] for i in range(self._num)[index]]
        at = range(self._num)[index]  # an index beyond the end ends an iteration
        return {name: column[at] for name, column in self._columns.items()}

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        names = list(self._columns)
        if not names:
            return iter([{} for _ in range(self._num)])
        return (dict(zip(names, values, strict=True)) for values in zip(*self._columns.values(), strict=True))


def _prompts(
    columns: Mapping[str, Sequence[Any]], names: Names, place: Place
) -> tuple[Sequence[str], Sequence[str] | None]:
    """N ids and N texts. A prompt stands in a step as often as its group is large: each is hashed once."""
    prompts, given = columns.get(names.prompt), columns.get("prompt_id")
    if prompts is not None and None in prompts:
        prompts = None if given is not None else prompts  # examples need all of them; ids can do without
    texts: list[str] | None = None
    ids: list[str] = []
    if prompts is not None:
        known: dict[str, tuple[str, str]] = {}
        found = []
        last, key = None, ""
        for i, prompt in enumerate(prompts):
            if prompt != last or last is None:  # members of a group mostly stand together
                last, key = prompt, prompt if isinstance(prompt, str) else repr(prompt)
            if key not in known:
                if not isinstance(prompt, str) and not (is_messages(prompt) and prompt):
                    raise _wrong(prompt, names.prompt, "text, or a list of chat messages", place(i))
                try:
                    known[key] = prompt_id(prompt), prompt_text(prompt)
                except TypeError as error:
                    raise SourceError(f"{place(i)}: {error}") from error
            found.append(known[key])
        ids, texts = [each for each, _ in found], encodable([text for _, text in found])
    if given is not None:
        ids = []
        for i, value in enumerate(given):
            if type(value) not in (str, int):
                raise _wrong(value, "prompt_id", "text or an integer", place(i))
            ids.append(str(value))
    elif texts is None:
        raise SourceError(
            f"{place(0)} has neither '{names.prompt}' nor 'prompt_id': expected one of them, to tell which samples "
            "answer the same prompt. Log the prompt with every completion."
        )
    return ids, texts


def _completion(value: Any, prompt: Any, name: str, place: Place, i: int) -> str:
    if isinstance(value, str) or is_messages(value):
        return completion_text(value, prompt)
    raise _wrong(value, name, "text, or a list of chat messages", place(i))


def _first(columns: Mapping[str, Sequence[Any]], names: Sequence[str]) -> Sequence[Any] | None:
    return next((columns[name] for name in names if name in columns), None)


def _numbers(columns: Mapping[str, Sequence[Any]], names: Sequence[str], place: Place) -> NDArray[np.float64] | None:
    for name in names:
        if name in columns and _may_be_numbers(columns[name]):
            column = number_column(name, columns[name], place)
            return None if np.isnan(column).all() else column
    return None


def _may_be_numbers(values: Sequence[Any]) -> bool:
    kinds = set(map(type, values)) - {type(None)}
    return not kinds or not kinds.isdisjoint((int, float, bool))


def _epoch(columns: Mapping[str, Sequence[Any]], place: Place) -> float | None:
    column = _numbers(columns, ("epoch",), place)
    if column is None:
        return None
    last = float(column[~np.isnan(column)][-1])
    return last if math.isfinite(last) else None


def _wrong(value: Any, name: str, expected: str, place: str) -> SourceError:
    return SourceError(
        f"{place}: '{name}' is {value!r:.60}, expected {expected}. Correct the line, or leave it out of the log."
    )
