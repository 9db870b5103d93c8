"""What the collapse monitor said of a run, from the files of its ``monitor`` folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpo.record.objects import read_object


@dataclass(frozen=True)
class Watched:
    """The monitor in brief.

    Attributes:
        verdict: At its last report, else at the last alarm; None before either.
        alarms: How many.
    """

    verdict: str | None
    alarms: int


def monitored(run: Path) -> Watched | None:
    """What was said of a run; None if no monitor watched."""
    folder = run / "monitor"
    if not (folder / "looks.jsonl").is_file():
        return None
    alarms = _records(folder / "alarms.jsonl")
    verdict: Any = None
    report = read_object(folder / "report.json")  # written at every epoch and at the end
    if report is not None and isinstance(runs := report.get("runs"), list) and runs and isinstance(runs[0], dict):
        verdict = runs[0].get("verdict")
    if not isinstance(verdict, str) and alarms:
        verdict = alarms[-1].get("verdict")
    return Watched(verdict if isinstance(verdict, str) else None, len(alarms))


def _records(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a file that may be in writing."""
    found = []
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    for line in lines:
        try:
            each = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(each, dict):
            found.append(each)
    return found
