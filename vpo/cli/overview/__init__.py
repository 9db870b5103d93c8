"""`vpo runs ...`: what lies below a folder, how far it got, and how to go on with it.

Imports typer and nothing heavy, like :mod:`vpo.cli.app`; each command imports what it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from vpo.cli import completion


class _ListUnlessNamed(TyperGroup):
    """`vpo runs` and `vpo runs FOLDER` list: the first word is a command only if it is the name of one."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if ctx.resilient_parsing:  # a shell asks what may follow
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


runs = typer.Typer(
    cls=_ListUnlessNamed, help="List runs and say how to go on: vpo runs [FOLDER], show RUN, resume RUN, compare A B."
)

Run = Annotated[Path, typer.Argument(help="Folder of a run.", autocompletion=completion.runs)]


@runs.callback()
def _runs() -> None:
    """List runs and say how to go on: vpo runs [FOLDER], show RUN, resume RUN, compare A B."""


@runs.command(name="list")
def list_them(
    folder: Annotated[Path, typer.Argument(help="Where to look, all the way down.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list on standard output.")] = False,
) -> None:
    """List the runs below a folder: kind, state, steps, last reward, what the monitor says, how to go on."""
    from vpo.cli.overview.listing import list_runs

    list_runs(folder, as_json)


@runs.command()
def show(run: Run) -> None:
    """Print what a run was: its settings, versions, hardware, and what changed when it was resumed."""
    from vpo.cli.overview.showing import show_run

    show_run(run)


@runs.command()
def resume(
    run: Run,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command and start nothing.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run the code of your own that its settings name: rewards, tasks, samplers.")
    ] = False,
) -> None:
    """Go on with a run that was stopped or killed: start the command that `vpo runs` prints for it."""
    from vpo.cli.overview.resuming import resume_run

    raise typer.Exit(resume_run(run, dry_run, trust))


@runs.command()
def compare(first: Run, second: Run) -> None:
    """Print what differs between two runs: settings, seeds, versions, hardware."""
    from vpo.cli.overview.showing import compare_runs

    compare_runs(first, second)
