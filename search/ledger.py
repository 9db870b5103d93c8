"""The ledger: an append-only JSON-lines file that IS the state of a run.

The first line is a header with the run's configuration; ``search.rows`` says what the others hold. A line goes to the
operating system in one write as soon as its completion is there, or its answers are evaluated, so a killed process
loses nothing that had returned; ``sync`` (once a round, or once a second) makes it safe against a power cut as well. A
last line that was cut off in the middle is dropped on opening. Text only, no pickle: a ledger from a stranger is safe
to read.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.fold import Told, fold
from search.records import SearchResult
from search.row_checks import LedgerError, check_config, check_header, check_rows, not_written, read_line
from search.rows import Row
from search.seeds import stable_hash

FORMAT = 2
_MAGIC = b'{"kind":"search-ledger",'


class Ledger:
    """An open ledger.

    Args:
        path: The file; missing folders are made, and a missing file is begun.
        config: JSON-able identity of the run. A ledger is only continued by the run that began it; one without rows
            is begun anew.

    Attributes:
        path: The file.
        rows: Rows that were there when it was opened, in order.

    Raises:
        LedgerError: Another process holds the file, it is damaged before its last line, or its configuration differs.
    """

    def __init__(self, path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._writing = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._fd, self.path)
            header, self.rows, size = _scan(self.path)
            os.ftruncate(self._fd, size)
            if header is not None and not self.rows and header["config_hash"] != _header(config)["config_hash"]:
                header = None  # of a run that failed at once, and whose settings were mended
                os.ftruncate(self._fd, 0)
            if header is None:
                self.append(_header(config))
                self.sync()
                _sync_folder(self.path.parent)
            else:
                _check_same_run(self.path, header, _header(config))
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, row: Row) -> None:
        """Add one line. It survives the death of this process once the call has returned. Any thread may call it."""
        line = _dump(row).encode("ascii") + b"\n"
        with self._writing:
            while line:  # a write may be partial, on a full disk for one
                line = line[os.write(self._fd, line) :]

    def sync(self) -> None:
        """Wait until all lines are on disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file and give up its lock."""
        os.close(self._fd)

    def __enter__(self) -> Ledger:
        """Give the open ledger."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()


def is_free(path: str | os.PathLike[str]) -> bool:
    """Whether any run may begin in a file: it is not there, or nothing stands in it but a header.

    Raises:
        LedgerError: Another process holds the file, or it is damaged.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        _lock(fd, Path(path))
        return not _scan(Path(path))[1]
    finally:
        os.close(fd)


def read_ledger(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Row]]:
    """Read a ledger without touching it, also while a run is writing.

    Returns:
        The header and the rows; a last line that is not complete is left out.

    Raises:
        FileNotFoundError: There is no such file.
        LedgerError: The file is damaged, or holds no header.
    """
    header, rows, _ = _scan(Path(path))
    if header is None:
        raise LedgerError(f"{path} holds no header line, expected a search ledger: check the path.")
    return header, rows


def read_results(path: str | os.PathLike[str]) -> list[SearchResult]:
    """Fold a ledger into one result per problem, in the order of the header; the run may still be unfinished.

    Raises:
        FileNotFoundError: There is no such file.
        LedgerError: The file is damaged, or holds no header.
    """
    return [each.report() for each in read_told(path)]


def read_told(path: str | os.PathLike[str]) -> list[Told]:
    """The same with every result, proposals and completions included.

    Raises:
        FileNotFoundError: There is no such file.
        LedgerError: The file is damaged, or holds no header.
    """
    return fold(*read_search(path))


def read_search(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Row]]:
    """The configuration of a search and its rows, each of them checked: the ledger may come from anybody.

    Raises:
        FileNotFoundError: There is no such file.
        LedgerError: The file is damaged, holds no header, or a line that no search writes.
    """
    header, rows = read_ledger(path)
    config: dict[str, Any] = header["config"]
    try:
        check_config(config)
    except ValueError as error:
        raise not_written(path, 1, error) from None
    check_rows(rows, path, (problem["id"] for problem in config["problems"]))
    return config, rows


# ASCII escapes keep lone surrogates and exotic line ends inside their line; NaN is a bug by now, not a value.
# Made once: `json.dumps` with options makes an encoder for every call, which costs as much as a short row.
_dump = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def _header(config: Mapping[str, Any]) -> Row:
    plain = json.loads(_dump(dict(config)))  # as it will be read back: tuples are lists
    return {"kind": "search-ledger", "format": FORMAT, "config_hash": f"{stable_hash(plain):016x}", "config": plain}


def _scan(path: Path) -> tuple[Row | None, list[Row], int]:
    """Read (header, rows, bytes up to the end of the last complete line)."""
    content = path.read_bytes()
    size = content.rfind(b"\n") + 1
    lines = content[:size].split(b"\n")[:-1]
    parsed: list[Row] = []
    for index, line in enumerate(lines):
        try:
            parsed.append(read_line(line))
        except ValueError:
            if index == len(lines) - 1:  # blocks of a torn write may reach the disk out of order
                size -= len(line) + 1
                break
            raise LedgerError(
                f"{path}, line {index + 1} of {len(lines)}: not JSON, expected one record. Only the last line can be "
                "torn by a crash; restore the file from a copy, or delete it to start anew."
            ) from None
    # Also true of a header that was cut off; anything else must not be truncated away
    if content[: len(_MAGIC)] != _MAGIC[: len(content)]:
        raise LedgerError(f"{path} does not begin with a ledger header: give another ledger_path, this file is kept.")
    if parsed:
        _check_header_line(path, parsed[0])
    return (parsed[0] if parsed else None), parsed[1:], size


def _check_header_line(path: Path, header: Any) -> None:
    """Refuse another format, and what is no header."""
    if isinstance(header, dict) and header.get("format", FORMAT) != FORMAT:
        raise LedgerError(
            f"{path} has ledger format {header['format']!r:.60}, expected {FORMAT}: use the version that wrote it."
        )
    try:
        check_header(header)
    except ValueError as error:
        raise not_written(path, 1, error) from None


def _check_same_run(path: Path, found: Row, wanted: Row) -> None:
    if found["config_hash"] == wanted["config_hash"]:
        return
    theirs, ours = found["config"], wanted["config"]
    changed = [key for key in _union(theirs, ours) if theirs.get(key) != ours.get(key)]
    shown = "; ".join(f"{key}: {_short(theirs.get(key))} there, {_short(ours.get(key))} now" for key in changed)
    raise LedgerError(
        f"{path} belongs to a run with another configuration ({shown}). A ledger is only continued by the run that "
        "began it: restore these settings to resume, or give a new ledger_path (`out` in a file)."
    )


def _union(a: Iterable[str], b: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*a, *b]))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _lock(fd: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows: there, two runs on one ledger are not caught
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise LedgerError(
            f"{path} is held by another process, expected to be its only writer: wait for that run, or give a new "
            "ledger_path."
        ) from None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)  # the file's name must be on disk, too
    finally:
        os.close(fd)
