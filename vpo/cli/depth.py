"""`vpo depth ...`: commands about the number of loops of a looped model.

Imports typer and nothing heavy, like :mod:`vpo.cli.app`; each command imports what it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

depth = typer.Typer(help="How many loops a looped model runs.", no_args_is_help=True)


@depth.callback()
def _depth() -> None:
    """How many loops a looped model runs."""


@depth.command()
def calibrate(
    model: Annotated[str, typer.Argument(help="A looped model: folder or hub name.")],
    text: Annotated[
        Path,
        typer.Option(
            help="Held-out text: .jsonl with 'text', or texts that blank lines separate; or .jsonl with 'prompt' and "
            "'completion', of which what completions predict counts.",
            exists=True,
        ),
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


@depth.command()
def report(
    model: Annotated[str, typer.Argument(help="A looped model: folder or hub name; ours, Huginn's or Ouro's.")],
    out: Annotated[Path, typer.Option(help="Folder of report.html and report.json.")],
    text: Annotated[
        Path | None,
        typer.Option(
            help="Held-out text: .jsonl with 'text' (and perhaps 'format', 'difficulty'), or texts that blank lines "
            "separate.",
            exists=True,
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Instead of text: a task, whose reference answers count.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="Option of the task, as path=rows/; may be repeated.")
    ] = None,
    split: Annotated[Literal["train", "test"], typer.Option(help="Rows of the task.")] = "test",
    loops: Annotated[int | None, typer.Option(help="Loops to run; 2 past cap and training by default.", min=2)] = None,
    cap: Annotated[int | None, typer.Option(help="Loops to compare with; by default the model's own.", min=1)] = None,
    trained_loops: Annotated[
        int | None, typer.Option(help="Deepest loop of training, where the model does not say.", min=1)
    ] = None,
    tol: Annotated[list[float] | None, typer.Option(help="A tolerance to try; may be repeated.")] = None,
    target_kl: Annotated[float, typer.Option(help="KL to the cap that stopping may cost, nats a token.")] = 0.01,
    slack: Annotated[float, typer.Option(help="Loss that counts as nothing, nats a token.")] = 0.01,
    length: Annotated[int, typer.Option(help="Longest sequence, in tokens.", min=2)] = 128,
    batch_size: Annotated[int, typer.Option(help="Sequences in a batch.", min=1)] = 8,
    max_tokens: Annotated[int, typer.Option(help="Stop after so many tokens.", min=2)] = 4096,
    generate: Annotated[
        int, typer.Option(help="With --task: prompts that are answered at every depth, and scored.", min=0)
    ] = 0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest of these answers, in tokens.", min=1)] = 128,
    jacobian: Annotated[bool, typer.Option(help="Norm and radius of the loop's Jacobian.")] = True,
    png: Annotated[bool, typer.Option("--png", help="Also draw report.png (extra `png`).")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the checkpoint.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
) -> None:
    """Show what each loop buys, where the sweet spot lies, and what to change: a page and its numbers."""
    from vpo.cli.depth_report import Reporting, run_depth_report

    asked = Reporting(
        model=model,
        text=text,
        task=task,
        options=option or [],
        split=split,
        out=out,
        loops=loops,
        cap=cap,
        trained_loops=trained_loops,
        tols=tol,
        target_kl=target_kl,
        slack=slack,
        length=length,
        batch_size=batch_size,
        max_tokens=max_tokens,
        generate=generate,
        max_new_tokens=max_new_tokens,
        jacobian=jacobian,
        png=png,
        trust_remote_code=trust_remote_code,
        seed=seed,
    )
    raise typer.Exit(run_depth_report(asked))
