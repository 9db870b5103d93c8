"""The options of `vpo monitor`; imports typer and nothing heavy, like :mod:`vpo.cli.app`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

_MOST_WORKERS = 8


def monitor(
    logs: Annotated[list[Path], typer.Argument(help="Logs: a run's folder, a folder of dumps, or a file; one a run.")],
    base: Annotated[
        Path | None, typer.Option(help="Samples of the base model, a log of any kind.", exists=True)
    ] = None,
    correct: Annotated[
        str | None, typer.Option(help="Reward that says what is correct, as accuracy_reward or 'score>=0.5'.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="vpo, trl, verl, openrlhf, jsonl or parquet; else found.")] = None,
    prompts: Annotated[
        Literal["fresh", "panel"], typer.Option(help="Whether looks draw prompts anew or repeat a panel.")
    ] = "fresh",
    every: Annotated[int, typer.Option(help="Steps in a look.", min=1)] = 1,
    facets: Annotated[str | None, typer.Option(help="Facets with commas, as format,opening,length.")] = None,
    rules: Annotated[Path | None, typer.Option(help="YAML with format rules of your own.", exists=True)] = None,
    trainer: Annotated[
        Literal["trl", "vpo", "verl", "openrlhf"] | None, typer.Option(help="Whose settings are suggested.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Chance of any false alarm; .05 by default.")] = None,
    looks: Annotated[int | None, typer.Option(help="Looks that RATE is for; any number by default.", min=1)] = None,
    run_length: Annotated[
        float | None, typer.Option(help="Instead of RATE: least mean number of looks to a false alarm.")
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option("--threshold", help="Where a change matters, as dominance=0.9; may be repeated.")
    ] = None,
    alert: Annotated[
        list[str] | None, typer.Option("--alert", help="Also tell trackio, wandb or an http address; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; LOG/monitor by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with a log that grows, until Ctrl-C.")] = False,
    poll: Annotated[float, typer.Option(help="Seconds between two looks at a growing log.", min=0.1)] = 5.0,
    workers: Annotated[int | None, typer.Option(help="Processes that label; one a core by default.", min=1)] = None,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="Leave out what cannot be read.")] = False,
    png: Annotated[bool, typer.Option("--png", help="Also write charts as PNG files.")] = False,
    fail_on: Annotated[
        Literal["warning", "critical"] | None, typer.Option(help="Exit with 3 after an alarm of this level or worse.")
    ] = None,
) -> None:
    """Say whether a run collapses: formats, diversity and pass@k against the base, alarms, one page of it all."""
    from eval.alarms import FalseAlarms
    from vpo.cli.monitor.command import Monitoring, run_monitor

    if rate is not None and run_length is not None:
        raise ValueError(f"--rate is {rate} and --run-length {run_length}: expected one of the two. Leave one out.")
    given = rate if rate is not None else None if run_length is not None else 0.05
    asked = Monitoring(
        logs=logs,
        base=base,
        kind=kind,
        correct=correct,
        prompts=prompts,
        every=every,
        facets=None if facets is None else [name.strip() for name in facets.split(",") if name.strip()],
        rules=rules,
        trainer=trainer,
        thresholds=_thresholds(threshold or []),
        false_alarms=FalseAlarms(rate=given, looks=looks, run_length=run_length),
        alerts=alert or [],
        out=out,
        follows=follow,
        poll_s=poll,
        workers=workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS),
        skip_damaged=skip_damaged,
        png=png,
        fail_on=fail_on,
    )
    raise typer.Exit(run_monitor(asked))


def _thresholds(given: list[str]) -> dict[str, float]:
    """Numbers by name; which names there are is for :class:`~eval.collapse.quantities.Thresholds` to say."""
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise ValueError(f"threshold is {text!r}: expected a name and a number, as dominance=0.9.")
    return found
