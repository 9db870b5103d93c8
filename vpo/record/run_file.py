"""``run.json``: written when a run begins, whole or not at all; a resumed run adds what has changed since.

::

    {"format": 1, "kind": "train", "started": ..., "seeds": {...}, "settings": {...}, "versions": {...},
     "hardware": {...}, "environment": {...}, "command": [...], "working_directory": ..., "processes": 1,
     "process": {...},                      # of the latest session: whether it is alive is read from it
     "resumed": [{"at": ..., "step": 12, "command": [...], "changes": [{"name", "before", "now"}, ...]}, ...],
     "ended": {"at": ..., "step": 48, "of": 48, "why": "all steps done"}}     # null until then

The settings are those of the beginning. What holds since is in ``resumed``, in order: each entry is a difference to the
one before.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vpo.record.changes import changes, flattened
from vpo.record.objects import read_object
from vpo.record.plain import plain
from vpo.record.surroundings import process_start, surroundings

RUN_FILE = "run.json"
FORMAT = 1

_COMPARED = ("seeds", "settings", "versions", "hardware", "environment", "processes")
_OF_A_RESUME = "resume_from_checkpoint"  # differs in every resumed run, and says nothing


class RunFile:
    """The record of a run's folder; one process of a run writes it.

    Args:
        folder: The run's; made when something is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def begin(
        self,
        kind: str,
        settings: Mapping[str, Any],
        *,
        seeds: Mapping[str, Any],
        processes: int = 1,
        step: int = 0,
        resumes: bool | None = None,
    ) -> None:
        """Write down that a run begins, or goes on.

        A run that begins anew in the folder of another takes its place, as its files do. One that goes on where there
        is no record, or none that can be read, gets one that says so.

        Args:
            kind: ``train``, ``search`` or ``compare``.
            settings: All of them; secrets are left out, and what is no JSON becomes text.
            seeds: Those of the settings that are seeds.
            processes: How many compute it together.
            step: Where it goes on.
            resumes: Whether it goes on; by default if ``step`` is not 0.

        Raises:
            OSError: The folder cannot be written to.
        """
        around = surroundings()
        now = {
            "format": FORMAT,
            "kind": kind,
            "started": _now(),
            "seeds": dict(seeds),
            "settings": settings,
            **around,
            "processes": processes,
            "resumed": [],
            "ended": None,
        }
        record: dict[str, Any] = plain(now)
        if step > 0 if resumes is None else resumes:
            entry = {"at": record["started"], "step": step, "command": record["command"], "changes": []}
            former = self.read()
            if former is not None:
                entry["changes"] = [asdict(each) for each in changes(latest(former), _compared(record))]
                record = {**former, "process": record["process"], "ended": None}
            record["resumed"] = [*record["resumed"], entry]
        self._write(record)

    def end(self, step: int, of: int | None, why: str) -> None:
        """Write down that the run has come to its end; nothing if it has no record, or has ended before.

        Args:
            step: Where it ended.
            of: Steps that it was meant to take; None if that is not known.
            why: In a few words.

        Raises:
            OSError: The folder cannot be written to.
        """
        record = self.read()
        if record is not None and record["ended"] is None:
            self._write({**record, "ended": plain({"at": _now(), "step": step, "of": of, "why": why})})

    def read(self) -> dict[str, Any] | None:
        """The record; None if there is none, or if it is not one of ours: half a file, another program's."""
        found = read_object(self.folder / RUN_FILE)
        return found if _is_record(found) else None

    def _write(self, record: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{RUN_FILE}.{os.getpid()}.tmp"
        try:
            text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
            # Half a surrogate pair, of a record from elsewhere, is written as JSON's escape
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
            os.replace(temporary, self.folder / RUN_FILE)
        finally:
            temporary.unlink(missing_ok=True)


def is_alive(record: Mapping[str, Any]) -> bool | None:
    """Whether the process that wrote a record is still there; None if it is on another machine, or nothing says."""
    process = record.get("process")
    if not isinstance(process, Mapping) or process.get("host") != socket.gethostname():
        return None
    if not isinstance(process.get("id"), int) or process.get("started") is None:
        return None
    return process_start(process["id"]) == process["started"]


def latest(record: Mapping[str, Any]) -> dict[str, Any]:
    """Path -> value of what the latest session of a run ran with, as ``settings.training.beta``; versions too."""
    found = _compared(record)
    for entry in record["resumed"]:
        found |= {each["name"]: each["now"] for each in entry["changes"]}
    return found


def _compared(record: Mapping[str, Any]) -> dict[str, Any]:
    """What may change from session to session, flat, so that changes can be laid over it."""
    flat = flattened({name: record.get(name) for name in _COMPARED})
    return {name: value for name, value in flat.items() if not name.endswith(_OF_A_RESUME)}


def _is_record(found: Any) -> bool:
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("kind"), str):
        return False
    resumed, ended = found.get("resumed"), found.get("ended")
    return (
        isinstance(found.get("settings"), dict)
        and isinstance(found.get("command"), list)
        and "ended" in found
        and (ended is None or isinstance(ended, dict))
        and isinstance(resumed, list)
        and all(isinstance(each, dict) and isinstance(each.get("changes"), list) for each in resumed)
        and all(isinstance(each.get("command"), list | None) for each in resumed)
        and all(map(_is_change, (change for each in resumed for change in each["changes"])))
    )


def _is_change(found: Any) -> bool:
    return isinstance(found, dict) and {"name", "before", "now"} <= found.keys() and isinstance(found["name"], str)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
