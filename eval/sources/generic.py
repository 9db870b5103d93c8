"""The form for everyone else: one record a completion, as JSON lines (``.jsonl``, ``.jsonl.gz``) or Parquet.

====================  =========================================================================================
``step``              optimizer steps done; without it, all samples are of step 0
``prompt``            text or chat messages; may be missing where there is a ``prompt_id``
``prompt_id``         same for the same prompt at every step and in the base model's samples
``completion``        text or chat messages
``reward``            a number, and one component; so is ``correct``
``rewards``           an object, each entry a component; null where one does not apply
``finish_reason``     ``stop`` or ``length``
``tokens`` ...        numbers, as are ``entropy`` (nats a token), ``depth`` (mean loops a token) and ``epoch``
``temperature`` ...   how it was drawn, see :data:`eval.sources.sampling.SAMPLING_COLUMNS`
====================  =========================================================================================

Other columns make the sample's row. The samples of a step stand together, steps ascending: then a file of any length is
read in the memory of one step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from eval.samples import Samples
from eval.sources.columns import Names, samples_from_columns
from eval.sources.errors import DamagedFileError, SourceError
from eval.sources.lines import Line, columns_of, read_lines
from eval.sources.parquet import read_batches, table_columns
from eval.sources.rewards import Place
from eval.sources.source import Cursor, Source


class JsonLines(Source):
    """A file of JSON lines in the generic form."""

    name = "JSONL"

    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        if not final and not self.path.exists():
            return
        if not final and self.path.suffix == ".gz":
            return  # nothing can be told of the end of a compressed file that is being written
        group: list[Line] = []
        step = -1
        for line in read_lines(self.path, self, final, cursor):
            if cursor.numbered is None:
                cursor.numbered = "step" in line.record
            value = line.record.get("step", None if cursor.numbered else 0)
            found = step_number(value, f"{self.path}, line {line.number}", cursor.numbered)
            if group and found != step:
                if found < step:
                    raise SourceError(
                        f"{self.path}, line {line.number} is of step {found}, after step {step}: expected ascending "
                        "steps, the samples of one together. If a resumed run wrote into the same file, delete what it "
                        "repeats; else sort the file by step."
                    )
                yield from self._samples(step, group, after_step)
                _move(cursor, group[-1])
                group = []
            step = found
            if step <= after_step:
                _move(cursor, line)
            else:
                group.append(line)
        if group and final:
            yield from self._samples(step, group, after_step)
            _move(cursor, group[-1])

    def _samples(self, step: int, group: Sequence[Line], after_step: int) -> Iterator[Samples]:
        if step > after_step:
            columns = columns_of([line.record for line in group])
            yield generic_samples(step, columns, self, lambda i: f"{self.path}, line {group[i].number}")


def _move(cursor: Cursor, line: Line) -> None:
    """Put the cursor behind a line."""
    cursor.offset, cursor.line, cursor.ends = line.end, line.number, line.ends


class ParquetTable(Source):
    """A Parquet file in the generic form."""

    name = "Parquet table"

    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        size = self.path.stat().st_size if self.path.exists() else 0
        if (not final and not size) or (cursor.offset and cursor.offset == size and not (final and cursor.is_held)):
            return  # not there yet, or read before
        pieces: list[dict[str, list[Any]]] = []
        step, start, row = -1, 0, 0
        try:
            for batch in read_batches(self.path):
                columns = table_columns(batch)
                steps = self._step_column(columns, len(batch), row)
                edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(batch)]
                for first, end in pairwise(edges):
                    found = int(steps[first])
                    if pieces and found != step:
                        if found < step:
                            raise SourceError(
                                f"{self.path}, row {row + first} is of step {found}, after step {step}: expected "
                                "ascending steps, the samples of one together. Sort the table by step."
                            )
                        yield from self._samples(step, pieces, start, after_step)
                        pieces = []
                    if not pieces:
                        step, start = found, row + first
                    if found > after_step or not pieces:
                        pieces.append({name: column[first:end] for name, column in columns.items()})
                row += len(batch)
            cursor.offset, cursor.is_held = size, not final
        except DamagedFileError as error:
            if not final:
                return  # its end, which holds the index, is not written yet
            if not self.skip_damaged:
                raise
            self.warn(f"{error} What lies before was read.")
        if pieces and final:  # a table that is written anew as it grows may have more of its last step to come
            yield from self._samples(step, pieces, start, after_step)

    def _samples(
        self, step: int, pieces: Sequence[Mapping[str, list[Any]]], start: int, after_step: int
    ) -> Iterator[Samples]:
        if step > after_step:
            columns = {name: [value for piece in pieces for value in piece[name]] for name in pieces[0]}
            yield generic_samples(step, columns, self, lambda i: f"{self.path}, row {start + i}")

    def _step_column(self, columns: Mapping[str, list[Any]], num: int, row: int) -> np.ndarray[Any, Any]:
        values = columns.get("step", [0] * num)
        if set(map(type, values)) == {int} and min(values) >= 0:
            return np.array(values)
        return np.array([step_number(value, f"{self.path}, row {row + i}") for i, value in enumerate(values)])


def generic_samples(step: int, columns: dict[str, list[Any]], source: Source, place: Place) -> Samples:
    """Samples of one step in the generic form.

    Raises:
        SourceError: A column is missing, or a value not of its kind.
    """
    rewards = columns.pop("rewards", None)
    names: list[str] = [name for name in ("reward", "correct") if name in columns]
    if rewards is not None:
        for i, value in enumerate(rewards):
            if value is not None and not isinstance(value, Mapping):
                raise SourceError(
                    f"{place(i)}: 'rewards' is {value!r:.60}, expected an object with one number a component, such as "
                    '{"correct": 1, "length": 0.5}. Write a single number as \'reward\'.'
                )
        parts = columns_of([value or {} for value in rewards])
        # A component that shares its name with another column keeps both.
        named = {(f"rewards.{name}" if name in columns else name): part for name, part in parts.items()}
        columns.update(named)
        names += named
    kinds = Names(left_out=frozenset(names))  # no reward is part of a row: labels must not see success
    if source.components is not None:
        names = chosen_components(source.components, columns, place)
    elif not names:
        source.warn(f"{source.path} has no 'reward', 'rewards' or 'correct': formats can be read, success cannot.")
    return samples_from_columns(step, columns, kinds, names, place)


def chosen_components(names: Sequence[str], columns: Mapping[str, Any], place: Place) -> list[str]:
    """The components that the user named, if the log has them.

    Raises:
        SourceError: It lacks one.
    """
    if missing := [name for name in names if name not in columns]:
        raise SourceError(
            f"{place(0)} has no reward {', '.join(map(repr, missing))}: components= names it, the log has "
            f"{', '.join(columns)}. Name columns that are there at every step."
        )
    return list(names)


def step_number(value: Any, place: str, numbered: bool = True) -> int:
    """A step, checked.

    Args:
        value: As it was read.
        place: Where.
        numbered: Whether the first sample has a step; then all must, else none.

    Raises:
        SourceError: It is no whole number from 0 on, or only some samples have one.
    """
    is_whole = type(value) is int or (type(value) is float and value.is_integer())
    if is_whole and 0 <= value < (2**63 if numbered else 1):
        return int(value)
    raise SourceError(
        f"{place}: 'step' is {value!r:.60}, expected the number of optimizer steps, 0 or more. Write it on every line, "
        "or on none for samples of the base model."
    )


def is_generic(keys: Collection[str]) -> bool:
    """Whether a record or table with these keys is in the generic form."""
    return "completion" in keys and ("prompt" in keys or "prompt_id" in keys)
