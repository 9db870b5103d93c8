"""The command line of `vpo pipeline`. Imports typer and nothing heavy, like :mod:`vpo.cli.app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pipeline(
    recipe: Annotated[Path, typer.Argument(help="YAML file: out, model, convert, heal, train, evaluate, ...")],
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    redo: Annotated[str | None, typer.Option(help="Throw this stage away first, with those that need it.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="The recipe's own small size, in another folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="One step of every stage; nothing is kept.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another value, as heal.max_steps=100; null takes a key out; may be repeated."),
    ] = None,
) -> None:
    """Take a pretrained checkpoint to a searched policy: convert, heal, train, evaluate, monitor, search; one file.

    A pipeline that was stopped or killed goes on: give the same command again.
    """
    from vpo.cli.pipeline.command import run_pipeline

    words = ["vpo pipeline", str(recipe)]
    words += [f"--set {each}" for each in set_ or []] + ["--smoke"] * smoke
    raise typer.Exit(run_pipeline(recipe, until, redo, smoke, dry_run, set_ or [], " ".join(words)))
