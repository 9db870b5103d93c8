"""`vpo runs [FOLDER]`: one row a run, and below the table how to go on with those that stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from vpo.cli.console import Console
from vpo.cli.overview.finding import find_runs
from vpo.cli.overview.standing import Standing, standing
from vpo.cli.saying import say, say_json

_STYLES = {"running": "green", "stopped": "yellow", "ended early": "yellow", "unknown": "dim"}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def list_runs(folder: Path, as_json: bool) -> None:
    """Print the runs at and below a folder.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: It is a file.
    """
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}: expected one with runs in it. Name it: vpo runs FOLDER.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: expected a folder with runs in it. Name the folder.")
    found = [standing(path, kind) for path, kind in find_runs(folder)]
    if as_json:
        say_json([asdict(each) for each in found])
        return
    console = Console()
    if not found:
        console.print(f"no runs in {folder}: `vpo train`, `vpo search run` and `vpo demo` leave some.")
        return
    console.print(_table(found, folder))
    for each in found:
        for problem in each.problems:
            console.print(f"{each.run}: {problem}", style="yellow")
    going_on = [each for each in found if each.continue_with is not None]
    if going_on:
        console.print("to go on:")
        for each in going_on:
            say(f"  {each.continue_with}")  # no line of it broken: it is there to be copied


def _table(found: Sequence[Standing], folder: Path) -> Table:
    table = Table("run", "kind", "state", "steps", "reward", "monitor", "age")
    for each in found:
        name = Path(each.run).relative_to(folder)
        state = each.state + (f": {each.detail}" if each.detail else "")
        cells = [str(name) if name.parts else each.run, each.kind, state, _steps(each), _number(each.reward)]
        cells += [_monitor(each), age(each.age_s if each.age_s is not None else each.idle_s)]
        table.add_row(*cells, style=_STYLES.get(each.state))
    return table


def _steps(each: Standing) -> str:
    if each.steps is None:
        return ""
    unit = {"search": " answers", "demo": " arms", "compare": " runs"}.get(each.kind, "")
    return f"{each.steps}" + (f" of {each.of}" if each.of is not None else "") + unit


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _monitor(each: Standing) -> str:
    if each.alarms is None:
        return ""
    alarms = {0: "no alarm", 1: "1 alarm"}.get(each.alarms, f"{each.alarms} alarms")
    return alarms if each.verdict is None else f"{each.verdict}, {alarms}"


def age(seconds: float | None) -> str:
    """A duration in its largest unit."""
    if seconds is None:
        return ""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
