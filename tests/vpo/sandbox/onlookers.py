"""What tests see of a sandbox from outside: its processes, told from all others by a mark on their command line."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path


def new_mark() -> str:
    """A path that is not there; as one of a sandbox's ``readable`` ones it stands in every process's command line."""
    return f"/mark-{uuid.uuid4().hex}"


def processes(mark: str) -> dict[int, int]:
    """Parent of each process with that mark; those that have ended and were not reaped yet have no command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "cmdline").read_bytes():
                    found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def wait_until(claim: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether the claim becomes true in time."""
    end = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
