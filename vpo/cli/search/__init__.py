"""`vpo search ...`: run a search from a file, go on with it, compute it again, look at how an answer came about.

Imports typer and nothing heavy, like :mod:`vpo.cli.app`; each command imports what it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpo.cli import completion

search = typer.Typer(help="Search with any sampler, under a budget that holds.", no_args_is_help=True)

Folder = Annotated[
    Path,
    typer.Argument(help="Folder of a search: what `out` was in its file.", autocompletion=completion.searches),
]

Trust = Annotated[
    bool, typer.Option("--trust", help="Run the code of your own that its settings name: samplers, problems, runners.")
]


@search.callback()
def _search() -> None:
    """Search with any sampler, under a budget that holds."""


@search.command()
def run(
    config: Annotated[Path, typer.Argument(help="YAML file: problem, sampler, procedure, budget, out, ...")],
) -> None:
    """Search as a file says. A search that was stopped goes on; one that is done is shown."""
    from vpo.cli.search.command import run_config

    raise typer.Exit(run_config(config))


@search.command()
def resume(
    folder: Folder,
    max_seconds: Annotated[
        float | None, typer.Option(help="Another limit of time, former sessions included.", min=0)
    ] = None,
    trust: Trust = False,
) -> None:
    """Go on with a search that was stopped or killed; nothing that is in its ledger is paid for again."""
    from vpo.cli.search.command import resume_folder

    raise typer.Exit(resume_folder(folder, max_seconds, trust))


@search.command()
def replay(
    folder: Folder,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Parse and evaluate everything again, and compare.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Compute the state of a search again from its ledger alone; exit with 1 if evaluations differ."""
    from vpo.cli.search.command import replay_folder

    raise typer.Exit(replay_folder(folder, evaluate, trust))


@search.command()
def show(
    folder: Folder,
    problem: Annotated[
        str | None, typer.Option("--problem", "-p", help="A problem: its id, the beginning of it, or its number.")
    ] = None,
    id: Annotated[int | None, typer.Option("--id", help="An answer, by its number; else the best.", min=0)] = None,
    best: Annotated[bool, typer.Option("--best", help="The best answer, which is the default.")] = False,
) -> None:
    """List what a search found; with a problem, show how an answer came about as a chain of differences."""
    from vpo.cli.search.show import show_folder

    if best and id is not None:
        raise ValueError("--best and --id are both given: expected one of them.")
    show_folder(folder, problem, id)
