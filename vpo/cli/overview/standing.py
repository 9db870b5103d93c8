"""How a run stands: its state, how far it got, when it was last written to. Read-only, and content with half a run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from vpo.cli.overview.continuing import continuation
from vpo.cli.overview.finding import Kind
from vpo.cli.overview.monitored import monitored
from vpo.cli.overview.progress import Progress, progress_of
from vpo.record import RunFile, is_alive

State = Literal["running", "finished", "ended early", "stopped", "unknown"]

_RECENT_S = 600  # a run on another machine that wrote so lately is taken to be at work


@dataclass(frozen=True)
class Standing:
    """A run at a glance.

    Attributes:
        run: Its folder.
        kind: What it is.
        state: ``stopped`` where its process is gone and nothing says that it was done; ``unknown`` where that cannot
            be seen from here.
        detail: What else there is to say of the state.
        checkpoint: Step of the newest whole checkpoint; None without one.
        steps: Optimizer steps, answers of a search, arms or runs of a comparison.
        of: As many as were meant; None if that is not known.
        reward: Of the last step that is known: mean score of its completions, or best scalar of a search, mean over
            problems.
        verdict: The collapse monitor's, None where none watched.
        alarms: Its alarms; None where none watched.
        age_s: Seconds since it began.
        idle_s: Seconds since something was written.
        continue_with: The command that goes on with it, None if it is running or done.
        problems: Files that are there and cannot be read.
    """

    run: str
    kind: Kind
    state: State
    detail: str = ""
    checkpoint: int | None = None
    steps: int | None = None
    of: int | None = None
    reward: float | None = None
    verdict: str | None = None
    alarms: int | None = None
    age_s: float | None = None
    idle_s: float | None = None
    continue_with: str | None = None
    problems: list[str] = field(default_factory=list)


def standing(path: Path, kind: Kind) -> Standing:
    """How the run in a folder stands.

    Args:
        path: Its folder.
        kind: Of `kind_of`.
    """
    record = RunFile(path).read()
    progress = progress_of(path, kind, record)
    state, detail = _state(path, record, progress)
    watched = monitored(path) if kind == "train" else None
    now = time.time()
    written = _last_written(path)
    return Standing(
        run=str(path),
        kind=kind,
        state=state,
        detail=detail,
        checkpoint=progress.checkpoint,
        steps=progress.steps,
        of=progress.of,
        reward=progress.reward,
        verdict=None if watched is None else watched.verdict,
        alarms=None if watched is None else watched.alarms,
        age_s=None if (began := _began(record)) is None else max(now - began, 0.0),
        idle_s=None if written is None else max(now - written, 0.0),
        continue_with=None if state in ("running", "finished") else continuation(path, kind, record, progress),
        problems=progress.problems,
    )


def _state(path: Path, record: Mapping[str, Any] | None, progress: Progress) -> tuple[State, str]:
    ended = None if record is None else record["ended"]
    if progress.is_held or (record is not None and ended is None and is_alive(record)):
        return "running", ""
    if ended is not None:
        why = str(ended.get("why", ""))
        return ("ended early" if why == "stopped early" else "finished"), why
    if progress.is_done:
        return "finished", ""
    if record is not None and is_alive(record) is None:
        process = record.get("process")
        host = process.get("host", "another machine") if isinstance(process, Mapping) else "another machine"
        written = _last_written(path)
        if written is not None and time.time() - written < _RECENT_S:
            return "running", f"on {host}, as far as can be seen from here"
        return "unknown", f"begun on {host}: whether it runs cannot be seen from here"
    if progress.checkpoint is not None:
        return "stopped", f"can be resumed from checkpoint {progress.checkpoint}"
    return "stopped", progress.left_over


def _began(record: Mapping[str, Any] | None) -> float | None:
    try:
        return None if record is None else datetime.fromisoformat(record["started"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _last_written(path: Path) -> float | None:
    """The newest change of a file in the folder or in one right below it: as deep as a run writes while it works."""
    newest: float | None = None
    try:
        places = [str(path), *(each.path for each in os.scandir(path) if each.is_dir(follow_symlinks=False))]
        for place in places:
            for entry in os.scandir(place):
                changed = entry.stat(follow_symlinks=False).st_mtime
                newest = changed if newest is None else max(newest, changed)
    except OSError:
        pass  # deleted while we look: what was seen will do
    return newest
