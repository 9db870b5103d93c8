"""`vpo runs show` and `compare`: a run's record readably, and what differs between two of them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from vpo.cli.console import Console
from vpo.cli.saying import say
from vpo.record import RUN_FILE, Change, RunFile, changes, flattened, latest

_PROCESS = ("environment.LOCAL_WORLD_SIZE", "environment.SLURM_JOB_ID")  # differ without a difference


def show_run(folder: Path) -> None:
    """Print a run's record.

    Raises:
        FileNotFoundError: There is no record.
        ValueError: It cannot be read.
    """
    record = _record(folder)
    console = Console()
    say(f"{record['kind']} in {folder}, begun {record.get('started')} with {record.get('processes')} process(es)")
    say(f"in {record.get('working_directory')}: {_command(record['command'])}")
    for title in ("seeds", "versions", "hardware", "environment"):
        content = record.get(title)
        if isinstance(content, Mapping) and content:
            console.print(_table(title, flattened(content)))
    for title, content in record["settings"].items():
        shown = flattened(content) if isinstance(content, Mapping) else {title: content}
        console.print(_table(f"settings: {title}, None left out", {k: v for k, v in shown.items() if v is not None}))
    for entry in record["resumed"]:
        say(f"resumed {entry.get('at')} at step {entry.get('step')}: {_command(entry.get('command') or [])}")
        if entry["changes"]:
            console.print(
                _differences(
                    [Change(each["name"], each["before"], each["now"]) for each in entry["changes"]],
                    "before",
                    "since then",
                )
            )
        else:
            say("  nothing had changed")
    ended = record["ended"]
    if ended is not None:
        say(f"ended {ended.get('at')} at step {ended.get('step')}: {ended.get('why')}")


def compare_runs(first: Path, second: Path) -> None:
    """Print what differs between what two runs ran with last.

    Raises:
        FileNotFoundError: One has no record.
        ValueError: One cannot be read.
    """
    before, now = (latest(_record(folder)) for folder in (first, second))
    found = [each for each in changes(before, now) if each.name not in _PROCESS]
    if not found:
        say("the two ran with the same settings, seeds, versions and hardware")
        return
    Console().print(_differences(found, str(first), str(second)))


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RUN_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: expected the folder of a run. Runs write it when they begin. "
            "`vpo runs` lists what there is."
        )
    record = RunFile(folder).read()
    if record is None:
        raise ValueError(
            f"{path} is no record of a run: expected the JSON that `vpo train` or `vpo search run` writes. Resume the "
            "run, and it is written anew."
        )
    return record


def _table(title: str, content: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in content.items():
        table.add_row(name, _text(value))
    return table


def _differences(found: list[Change], first: str, second: str) -> Table:
    table = Table("", first, second)
    for each in found:
        table.add_row(each.name, _text(each.before), _text(each.now))
    return table


def _command(words: list[Any]) -> str:
    return shlex.join(map(str, words))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "-" if value is None else json.dumps(value, ensure_ascii=False)
