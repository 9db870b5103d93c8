"""Completion in bash, zsh and fish: what Tab offers for the arguments that have names.

A shell asks at every Tab, so nothing here may load torch, and folders are looked through for a moment only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import typer

from vpo.cli.saying import say
from vpo.visible import visible

_VARIABLE = "_VPO_COMPLETE"  # what the shells' functions set to ask
_LONGEST_S = 0.5
_MOST = 100

Shell = Literal["bash", "zsh", "fish"]


def prepare() -> None:
    """Let this process answer a shell, if it was started by one to complete a line."""
    if _VARIABLE in os.environ:
        from typer.completion import completion_init

        completion_init()


def show(shell: Shell | None) -> None:
    """Print what a shell has to read, and end."""
    if shell is not None:
        from typer.completion import get_completion_script

        say(get_completion_script(prog_name="vpo", complete_var=_VARIABLE, shell=shell))
        raise typer.Exit


def install(shell: Shell | None) -> None:
    """Write it where the shell reads it when it starts, and end."""
    if shell is not None:
        from typer.completion import install as write

        _, path = write(shell=shell, prog_name="vpo", complete_var=_VARIABLE)
        say(f"wrote {path}; it counts from the next terminal on.")
        raise typer.Exit


def runs(incomplete: str) -> list[str]:
    """Folders of runs that begin so."""
    from vpo.cli.overview.finding import find_runs

    return _found(incomplete, (str(path) for base in _bases(incomplete) for path, _ in find_runs(base)))


def searches(incomplete: str) -> list[str]:
    """Folders of searches that begin so."""
    from vpo.cli.overview.finding import find_runs

    found = (str(path) for base in _bases(incomplete) for path, kind in find_runs(base) if kind == "search")
    return _found(incomplete, found)


def tasks(incomplete: str) -> list[str]:
    """Names of tasks that begin so."""
    from vpo.tasks import list_tasks

    return [name for name in list_tasks() if name.startswith(incomplete)]


def arms(incomplete: str) -> list[str]:
    """Names of a comparison's arms, the last one of a list with commas."""
    from vpo.cli.compare.arms import ARMS, RECIPE

    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{name}" for name in [RECIPE, *ARMS] if name.startswith(last) and name not in taken]


def _bases(incomplete: str) -> Iterator[Path]:
    """Where to look: in the folder that is spelt out, else in runs/ and in the folders here that begin so."""
    if "/" in incomplete:
        yield Path(incomplete.rpartition("/")[0] or "/")
        return
    for path in sorted(Path().iterdir()):
        if path.is_dir() and path.name.startswith(incomplete or "runs"):
            yield path


def _found(incomplete: str, paths: Iterator[str]) -> list[str]:
    end, found = time.monotonic() + _LONGEST_S, []
    for path in paths:
        if path.startswith(incomplete) and visible(path) == path:  # a shell would print it as it is
            found.append(path)
        if len(found) >= _MOST or time.monotonic() > end:
            break
    return found
