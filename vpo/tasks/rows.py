"""Rows of a task from the hub or from local JSON Lines and Parquet files, checked as they are read.

A bad row ends the loading with a `BadRowError` that names the file, the row (counting from 1; in JSON Lines, the line)
and the column. Files are read row by row, so that a row's number is known and its neighbours are not recast to its
types.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

_ENDINGS = (".jsonl", ".json", ".parquet")


class BadRowError(ValueError):
    """A row has not what its task needs."""


@dataclass(frozen=True)
class RowReader:
    """One row, and where it comes from; each method takes a column and refuses what is not of its kind.

    Attributes:
        values: Columns by name.
        place: Such as "train.jsonl, row 3".
        within: Path of a record inside of the row, such as "paragraphs[2].".
    """

    values: Mapping[str, Any]
    place: str
    within: str = ""

    def text(self, column: str, may_be_empty: bool = False) -> str:
        """Text, by default with something but white space in it."""
        return self._text(self._value(column), column, may_be_empty)

    def texts(self, column: str, at_least: int = 0, may_be_empty: bool = False) -> list[str]:
        """A list of texts, by default none of them empty."""
        values = self._list(column, at_least)
        return [self._text(value, f"{column}[{i}]", may_be_empty) for i, value in enumerate(values)]

    def integer(self, column: str) -> int:
        """A whole number."""
        value = self._value(column)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.bad(column, f"is {_show(value)}", "a whole number")
        return value

    def records(self, column: str, at_least: int = 1) -> list[RowReader]:
        """A list of records."""
        found = []
        for i, value in enumerate(self._list(column, at_least)):
            if not isinstance(value, Mapping):
                raise self.bad(f"{column}[{i}]", f"is {_show(value)}", "a record (an object with named fields)")
            found.append(RowReader(value, self.place, f"{self.within}{column}[{i}]."))
        return found

    def record(self, column: str) -> RowReader:
        """One record."""
        value = self._value(column)
        if not isinstance(value, Mapping):
            raise self.bad(column, f"is {_show(value)}", "a record (an object with named fields)")
        return RowReader(value, self.place, f"{self.within}{column}.")

    def json(self, column: str) -> Any:
        """JSON in a text, decoded; a value that is decoded already is taken as it is."""
        value = self._value(column)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise self.bad(column, f"is no JSON ({error})", "a JSON text") from None

    def bad(self, column: str, what: str, expected: str) -> BadRowError:
        """The error for a column of this row."""
        return BadRowError(
            f"{self.place}, column '{self.within}{column}' {what}: expected {expected}. Mend the row or leave it out."
        )

    def _value(self, column: str) -> Any:
        if column not in self.values:
            known = ", ".join(map(str, self.values)) or "none"
            raise self.bad(column, f"is missing (there are: {known})", "it in every row")
        return self.values[column]

    def _list(self, column: str, at_least: int) -> list[Any]:
        value = self._value(column)
        if not isinstance(value, list):
            raise self.bad(column, f"is {_show(value)}", "a list")
        if len(value) < at_least:
            raise self.bad(column, f"has {len(value)} entries", f"{at_least} or more")
        return value

    def _text(self, value: Any, column: str, may_be_empty: bool) -> str:
        if not isinstance(value, str):
            raise self.bad(column, f"is {_show(value)}", "text")
        if not may_be_empty and not value.strip():
            raise self.bad(column, "is empty", "text")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self.bad(column, "holds half of a surrogate pair", "text that UTF-8 can write") from None
        return value


def local_rows(path: str | Path, names: tuple[str, ...], alone: bool) -> Iterator[RowReader]:
    """Rows of a split from disk.

    Args:
        path: A folder with a file for each split, or one file.
        names: Names of the split, as ("validation", "dev"). A file belongs to it if its name without the ending is one
            of them, or ends in "_" and one, or starts with one and "-" (shards, read in order).
        alone: Whether a ``path`` that is one file is this split. It can be one split of a task only: rows that are both
            trained on and tested on would say nothing.

    Raises:
        ValueError: There is no such file, or none of the split.
        BadRowError: A line is no JSON object.
    """
    path = Path(path)
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if file.suffix in _ENDINGS and _is_of(file.stem, names)]
        if not files:
            raise ValueError(
                f"{path} has no file of the split {names[0]!r}: expected one such as {names[0]}.jsonl or "
                f"{names[0]}.parquet. Rename yours, or give the file itself as path."
            )
    elif path.is_file() and path.suffix in _ENDINGS:
        if not alone:
            raise ValueError(
                f"{path} is one file, which is taken as the training rows: the split {names[0]!r} is not in it. Give a "
                f"folder as path, with a file such as {names[0]}{path.suffix} beside the one for training."
            )
        files = [path]
    else:
        raise ValueError(f"there are no rows at {path}: expected a folder, or a file {', '.join(_ENDINGS)}.")
    for file in files:
        for number, values in _read(file):
            if not isinstance(values, Mapping):
                raise BadRowError(f"{file.name}, row {number} is {_show(values)}: expected an object with the columns.")
            yield RowReader(values, f"{file.name}, row {number}")


def hub_rows(name: str, *arguments: str, **options: Any) -> Iterator[RowReader]:
    """Rows of a dataset as `datasets.load_dataset` finds it, the hub's or one from links.

    Raises:
        ValueError: It cannot be loaded, the network being away for instance.
    """
    from datasets import load_dataset

    try:
        table = load_dataset(name, *arguments, **options)
    except Exception as error:
        raise ValueError(
            f"dataset {name!r} cannot be loaded ({type(error).__name__}: {error}). Look at the network, or give the "
            "option path=, a folder with files of the same columns."
        ) from error
    label = "/".join([name, *arguments, str(options.get("split", ""))])
    for number, values in enumerate(table, start=1):
        yield RowReader(values, f"{label}, row {number}")


def to_dataset(
    rows: Iterable[RowReader], convert: Callable[[RowReader], dict[str, Any] | None], size: int, seed: int | None
) -> Dataset:
    """Convert at most ``size`` rows: the first ones, or with a seed some in random order.

    Args:
        rows: In the order of their files.
        convert: Makes a row of the task; None leaves it out.
        size: At least 1.
        seed: Of the order.

    Raises:
        ValueError: ``size`` is below 1, or nothing is left.
    """
    from datasets import Dataset

    if size < 1:
        raise ValueError(f"size is {size}: expected 1 or more rows.")
    if seed is not None:
        rows = list(rows)
        random.Random(seed).shuffle(rows)
    converted = (new for row in rows if (new := convert(row)) is not None)
    kept = list(islice(converted, size))
    if not kept:
        raise ValueError("there are no rows: expected one at least. Look into the file, or at the options that filter.")
    return Dataset.from_list(kept)


def _is_of(stem: str, names: tuple[str, ...]) -> bool:
    return any(stem == name or stem.endswith(f"_{name}") or stem.startswith(f"{name}-") for name in names)


def _read(file: Path) -> Iterator[tuple[int, Any]]:
    if file.suffix == ".parquet":
        import pyarrow.parquet

        number = 0
        try:
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=256):
                for values in batch.to_pylist():
                    number += 1
                    yield number, values
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BadRowError(
                f"{file.name} cannot be read as Parquet behind row {number} ({reason}): it was cut while it was "
                "written, or is damaged. Copy it again."
            ) from error
        return
    with file.open("rb") as lines:
        if file.suffix == ".json" and lines.peek(1)[:1] == b"[":  # one array of rows
            try:
                rows = json.load(lines)
            except (ValueError, RecursionError) as error:
                raise BadRowError(f"{file.name} is no JSON ({error}): expected one array of rows.") from None
            yield from enumerate(rows, start=1)
            return
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line.decode())
                except (ValueError, RecursionError) as error:  # UTF-8's errors are ValueErrors too
                    raise BadRowError(f"{file.name}, row {number} is no JSON ({error}): expected one object.") from None


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
