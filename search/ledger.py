"""The ledger: an append-only JSON-lines file that IS the state of a run.

The first line is a header with the run's configuration; every further line is one generation with all of its evaluated
answers. A line goes to the operating system in one write as soon as its answers are evaluated, so a killed process
loses no evaluation that had returned; ``sync`` (once a round) makes it safe against a power cut as well. A last line
that was cut off in the middle is dropped on opening. Text only, no pickle: a ledger from a stranger is safe to read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.records import Candidate, Generation, Proposal, Result, SearchResult
from search.seeds import stable_hash

FORMAT = 1
_MAGIC = b'{"kind":"search-ledger",'

Row = dict[str, Any]


class LedgerError(ValueError):
    """A ledger cannot be used: damaged, in use, or written by another run."""


class Ledger:
    """An open ledger.

    Args:
        path: The file; missing folders are made, and a missing file is begun.
        config: JSON-able identity of the run. A ledger is only continued by the run that began it.

    Attributes:
        path: The file.
        rows: Rows that were there when it was opened, in order.

    Raises:
        LedgerError: Another process holds the file, it is damaged before its last line, or its configuration differs.
    """

    def __init__(self, path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._fd, self.path)
            header, self.rows, size = _scan(self.path)
            os.ftruncate(self._fd, size)
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
        """Add one line. It survives the death of this process once the call has returned."""
        line = _dump(row).encode("ascii") + b"\n"
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
    header, rows = read_ledger(path)
    told: dict[str, list[Result]] = {problem["id"]: [] for problem in header["config"]["problems"]}
    for row in rows:
        told[row["problem"]].append(result_of(row))
    return [SearchResult.from_results(problem_id, results) for problem_id, results in told.items()]


def row_of(problem_id: str, round_number: int, result: Result, wall: Mapping[str, float]) -> Row:
    """Write a result as a row. Everything except ``wall`` (seconds) is the same in every run with the same seed."""
    generation, proposal = result.generation, result.proposal
    return {
        "problem": problem_id,
        "round": round_number,
        "number": result.number,
        "request": generation.request_id,
        "seed": result.seed,
        "parents": list(proposal.parents),
        "inspirations": list(proposal.inspirations),
        "prefix": proposal.prefix,
        "prompt_hash": _prompt_hash(proposal),
        "text": generation.text,
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": generation.completion_tokens,
        "finish_reason": generation.finish_reason,
        "status": result.status,
        "answers": [
            {
                "id": candidate.id,
                "answer": candidate.answer,
                "vector": list(candidate.vector),
                "scalar": candidate.scalar,
                "status": candidate.status,
                "artifact": candidate.artifact,
                "duplicate": candidate.duplicate,
            }
            for candidate in result.candidates
        ],
        "wall": {name: round(seconds, 6) for name, seconds in wall.items()},
    }


def result_of(row: Row) -> Result:
    """Read a result back: ``result_of(row_of(..., result, ...)) == result``, but for a prompt of the proposal's own.

    Of such a prompt the row holds the hash alone: the procedure makes it anew.
    """
    parents = tuple(row["parents"])
    return Result(
        number=row["number"],
        seed=row["seed"],
        proposal=Proposal(parents=parents, inspirations=tuple(row.get("inspirations", ())), prefix=row["prefix"]),
        generation=Generation(
            request_id=row["request"],
            text=row["text"],
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            finish_reason=row["finish_reason"],
        ),
        candidates=tuple(
            Candidate(
                id=answer["id"],
                answer=answer["answer"],
                vector=tuple(answer["vector"]),
                scalar=answer["scalar"],
                parents=parents,
                generation_id=row["number"],
                status=answer["status"],
                artifact=answer.get("artifact", ""),
                duplicate=answer["duplicate"],
            )
            for answer in row["answers"]
        ),
    )


def same_proposal(row: Row, proposal: Proposal) -> bool:
    """Whether a row answers this proposal."""
    theirs = (row["parents"], row.get("inspirations", []), row["prefix"], row.get("prompt_hash"))
    return theirs == (list(proposal.parents), list(proposal.inspirations), proposal.prefix, _prompt_hash(proposal))


def _prompt_hash(proposal: Proposal) -> str | None:
    return None if proposal.prompt is None else f"{stable_hash(proposal.prompt):016x}"


def _dump(value: object) -> str:
    # ASCII escapes keep lone surrogates and exotic line ends inside their line; NaN is a bug by now, not a value
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


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
            parsed.append(json.loads(line))
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
    if parsed and parsed[0]["format"] != FORMAT:
        raise LedgerError(
            f"{path} has ledger format {parsed[0]['format']}, expected {FORMAT}: use the version that wrote it."
        )
    return (parsed[0] if parsed else None), parsed[1:], size


def _check_same_run(path: Path, found: Row, wanted: Row) -> None:
    if found["config_hash"] == wanted["config_hash"]:
        return
    theirs, ours = found["config"], wanted["config"]
    changed = [key for key in _union(theirs, ours) if theirs.get(key) != ours.get(key)]
    shown = "; ".join(f"{key}: {_short(theirs.get(key))} there, {_short(ours.get(key))} now" for key in changed)
    raise LedgerError(
        f"{path} belongs to a run with another configuration ({shown}). A ledger is only continued by the run that "
        "began it: restore these settings to resume, or give a new ledger_path."
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
