"""JSON lines as they are found on disk: growing, compressed, cut off, or with a line that is no JSON.

A line counts once its end is there. The last one may be without: it is whole if it parses, for no beginning of a JSON
object is one itself; so a cut at any byte loses a line at most, and never makes one up.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from eval.sources.errors import DamagedFileError, SourceError
from eval.sources.source import Cursor, Mark, Source

_parse = json.JSONDecoder().raw_decode  # json.loads without its two searches for white space: a tenth of its time


class Line(NamedTuple):
    """One record, its number in the file from 1 on, the byte after it, marks of the first line and of its own."""

    number: int
    end: int
    record: dict[str, Any]
    ends: tuple[Mark, Mark]


def read_lines(path: Path, source: Source, final: bool = True, cursor: Cursor | None = None) -> Iterator[Line]:
    """Yield the records of a file; blank lines count, but are none.

    Args:
        path: A file of JSON lines, compressed if its name ends in ``.gz``.
        source: Its ``skip_damaged`` says whether a bad line is left out with a warning.
        final: Nobody writes to the file; else a last line without its end is waited for.
        cursor: Where to begin.

    Raises:
        FileNotFoundError: There is no such file.
        SourceError: A line is no JSON object in UTF-8, or the file is shorter than when it was last read, or another.
    """
    cursor = cursor or Cursor()
    number, offset = cursor.line, cursor.offset
    first = None if cursor.ends is None else cursor.ends[0]
    with _open(path) as file:
        if offset:
            if path.suffix != ".gz" and path.stat().st_size < offset:  # offsets are those of the text
                raise SourceError(
                    f"{path} has {path.stat().st_size} bytes, fewer than the {offset} read from it: expected "
                    "a log that only grows. Start the monitor anew on the file as it is now."
                )
            if cursor.ends is not None:
                _check_same_file(file, path, offset, cursor.ends)
            file.seek(offset)
        while True:
            try:
                raw = file.readline()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                if isinstance(error, EOFError) or path.stat().st_size == 1:  # one byte is half of the mark of gzip
                    source.warn(f"{path} is cut after line {number}: what the compressed file held beyond is lost.")
                    return
                # Not to be skipped: a damaged stream repeats and alters text for a while before it is noticed.
                raise DamagedFileError(
                    f"{path}, near line {number}: the compression is damaged ({error}); what was read so far may be "
                    "altered. Copy the file again; what `gzip -t` accepts can be read."
                ) from error
            if not raw:
                return
            number, offset = number + 1, offset + len(raw)
            mark = (len(raw), hash(raw))
            first = first or mark
            whole = raw.endswith(b"\n")
            if not whole and not final:
                return
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not text:
                    continue
                record, length = _parse(text)
                if length < len(text):
                    raise ValueError(f"extra data at character {length + 1}")
            except (ValueError, RecursionError) as error:
                if not whole:
                    source.warn(f"{path}, line {number} is cut off before its end, and left out: the last of the file.")
                    return
                _bad(source, path, f"line {number} is no JSON in UTF-8 ({error})")
                continue
            if not isinstance(record, dict):
                if not whole:  # `12` may be the beginning of `123`
                    source.warn(f"{path}, line {number} is cut off before its end, and left out: the last of the file.")
                    return
                _bad(source, path, f"line {number} is {type(record).__name__}")
                continue
            yield Line(number, offset, record, (first, mark))


def first_record(path: Path) -> dict[str, Any] | None:
    """The first record of a file, to tell its kind; None if its first line is none."""
    try:
        with _open(path) as file:
            raw = file.readline()
            while raw.isspace():
                raw = file.readline()
        record = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError, EOFError, zlib.error, OSError):
        return None
    return record if isinstance(record, dict) else None


def columns_of(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns of the records; null where one lacks a key."""
    return {name: [record.get(name) for record in records] for name in dict.fromkeys(chain.from_iterable(records))}


def _check_same_file(file: IO[bytes], path: Path, offset: int, ends: tuple[Mark, Mark]) -> None:
    """Refuse a file that has taken the place of the one that was read; one that was copied whole is the same."""
    for (length, mark), start in zip(ends, (0, offset - ends[1][0]), strict=True):
        file.seek(start)
        if hash(file.read(length)) != mark:
            raise SourceError(
                f"{path} is another file than the one whose first {offset} bytes were read: expected a log that only "
                "grows. Start the monitor anew on the file as it is now."
            )


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _bad(source: Source, path: Path, what: str) -> None:
    if not source.skip_damaged:
        raise SourceError(
            f"{path}, {what}: expected one JSON object a line. Delete the line, or leave such lines out with "
            "skip_damaged=True."
        )
    source.warn(f"{path}, {what}: left out, and so is every later line of it that is none.", f"bad lines of {path}")
