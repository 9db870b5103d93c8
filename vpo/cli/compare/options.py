"""The command line of `vpo compare`. Imports typer and nothing heavy, like :mod:`vpo.cli.app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpo.cli import completion


def compare(
    recipe: Annotated[Path, typer.Argument(help="YAML file, as for `vpo train`; all arms share it.")],
    objectives: Annotated[
        str,
        typer.Option(
            help="Arms by name, with commas; 'recipe' is the recipe as it stands.", autocompletion=completion.arms
        ),
    ] = "grpo,multi_rlvr,vpo",
    arms: Annotated[
        Path | None, typer.Option(help="YAML with arms of your own: names, and the fields that they set.", exists=True)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds, from 0.", min=1)] = 3,
    budget: Annotated[int, typer.Option(help="Completion tokens that each run may generate.", min=1)] = 400_000,
    answers: Annotated[int, typer.Option(help="Answers of each policy to each test prompt.", min=1)] = 30,
    prompts: Annotated[int, typer.Option(help="Test prompts.", min=1)] = 100,
    out: Annotated[Path | None, typer.Option(help="Folder; by default runs/compare/RECIPE.")] = None,
    processes: Annotated[int | None, typer.Option(help="Processes of each run; one a GPU by default.")] = None,
    accelerate_config: Annotated[
        Path | None, typer.Option(help="Configuration of `accelerate launch`, on GPUs.", exists=True)
    ] = None,
) -> None:
    """Train one recipe under several objectives and seeds at equal generated tokens; one table and one page of them."""
    from vpo.cli.compare.command import run_compare

    names = [name.strip() for name in objectives.split(",") if name.strip()]
    words = " ".join(["vpo compare", str(recipe), f"--objectives {objectives}", f"--seeds {seeds} --budget {budget}"])
    words += f" --answers {answers} --prompts {prompts}" + (f" --arms {arms}" if arms else "")
    numbers = (seeds, budget, answers, prompts)
    raise typer.Exit(run_compare(recipe, names, arms, *numbers, out, processes, accelerate_config, words))
