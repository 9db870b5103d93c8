"""Which folders are runs, and of what kind, told from the files that they leave; others are passed by.

A run inside a run (an arm of a demo, a seed of a comparison) is a part of it and not listed, unless the outer one is
what was asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from vpo.record import RUN_FILE, RunFile
from vpo.record.objects import read_object

Kind = Literal["train", "search", "demo", "compare"]

CHECKPOINT = re.compile(r"checkpoint-(\d+)$")
ROLLOUTS = re.compile(r"rank\d+-step(\d+)(?:-\d+)?\.parquet$")

_DEEPEST = 8
_PASSED_BY = {"rollouts", "rollouts-eval", "monitor", "completions", "logs", "node_modules", "__pycache__"}
_OF_A_RECORD: dict[str, Kind] = {"train": "train", "search": "search", "demo": "demo", "compare": "compare"}


def find_runs(folder: Path) -> Iterator[tuple[Path, Kind]]:
    """Yield the runs at and below a folder, in the order of their names.

    Args:
        folder: Where to begin. If it is a run itself, the runs that are its parts come as well.
    """
    for place, names, files in os.walk(folder):
        path = Path(place)
        depth = len(path.relative_to(folder).parts)
        kind = kind_of(path, names, files)
        if kind is not None:
            yield path, kind
        is_inside = kind is not None and depth > 0
        names[:] = [] if is_inside or depth >= _DEEPEST else sorted(name for name in names if _may_hold_runs(name))


def kind_of(path: Path, names: list[str], files: list[str]) -> Kind | None:
    """Kind of the run in a folder with these subfolders and files; None if it is none."""
    if "settings.json" in files and {"fingerprint", "arms"} <= (read_object(path / "settings.json") or {}).keys():
        return "demo"
    if RUN_FILE in files:
        record = RunFile(path).read()
        if record is not None and record["kind"] in _OF_A_RECORD:
            return _OF_A_RECORD[record["kind"]]
    if "search.yaml" in files:
        return "search"
    if any(CHECKPOINT.match(name) and (path / name / "trainer_state.json").is_file() for name in names):
        return "train"
    if "rollouts" in names and any(ROLLOUTS.match(name) for name in _names(path / "rollouts")):
        return "train"
    if "monitor" in names and (path / "monitor" / "looks.jsonl").is_file():
        return "train"
    return None


def _may_hold_runs(name: str) -> bool:
    return not (name.startswith(".") or name in _PASSED_BY or CHECKPOINT.match(name))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
