"""`vpo depth ...`: commands about the number of loops of a looped model.

Imports typer and nothing heavy, like :mod:`vpo.cli.app`; each command imports what it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

depth = typer.Typer(help="How many loops a looped model runs.", no_args_is_help=True)


@depth.callback()
def _depth() -> None:
    """How many loops a looped model runs."""


@depth.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="A looped model: folder or hub name.")],
    text: Annotated[
        Path, typer.Option(help="Held-out text: .jsonl with 'text', or texts that blank lines separate.", exists=True)
    ],
    target_kl: Annotated[float, typer.Option(help="KL to the full depth that is allowed, nats a token.")] = 0.01,
    cap: Annotated[int, typer.Option(help="Most loops.")] = 4,
    tol: Annotated[list[float] | None, typer.Option(help="A tolerance to try; may be repeated.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write the policy into the model's config.json.")] = False,
    length: Annotated[int, typer.Option(help="Longest sequence, in tokens.", min=1)] = 256,
    batch_size: Annotated[int, typer.Option(help="Sequences in a batch.", min=1)] = 4,
    max_tokens: Annotated[int, typer.Option(help="Stop after so many tokens of text.", min=1)] = 16384,
) -> None:
    """Find the largest tolerance at which stopping early hardly changes what the model predicts."""
    from vpo.cli.calibrate import run_calibrate

    raise typer.Exit(run_calibrate(model, text, target_kl, cap, tol, save, length, batch_size, max_tokens))
