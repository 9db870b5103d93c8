"""`vpo tasks ...`: what tasks there are, and whether one is fit to train on.

Imports typer and nothing heavy, like :mod:`vpo.cli.app`; each command imports what it runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vpo.cli import completion
from vpo.cli.saying import say

if TYPE_CHECKING:
    from vpo.collinearity import RewardGeometry
    from vpo.tasks.check import CheckReport

_MOST_SHOWN = 12  # failures; one cause often shows in every answer

tasks = typer.Typer(help="Tasks with vector rewards.", no_args_is_help=True)


@tasks.callback()
def _tasks() -> None:
    """Tasks with vector rewards."""


@tasks.command(name="list")
def list_them() -> None:
    """Name the tasks, with their components and what they are."""
    from vpo.tasks import get_task, list_tasks

    for name in list_tasks():
        task = get_task(name)
        what = (type(task).__doc__ or "").strip().splitlines()[0]
        names = task.components
        shown = ", ".join(names) if len(names) <= 6 else f"{names[0]} to {names[-1]}"
        say(f"{name:<14} {what}\n{'':<14} components: {shown}; answers in <{task.tag}_i>")
    say("A task of your own is a .py file with a function under @task, or its dotted name.")


@tasks.command()
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="A task's name, a .py file with a function under @task, a dotted name.",
            autocompletion=completion.tasks,
        ),
    ],
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="Option of the task, as path=rows/; may be repeated.")
    ] = None,
    split: Annotated[Literal["train", "test"], typer.Option(help="Rows to look at.")] = "train",
    rows: Annotated[int, typer.Option(help="How many of them.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the damage done to reference answers.")] = 0,
) -> None:
    """Score good, empty, huge and hostile answers; exit with 1 if the scorer fails at one."""
    from vpo.tasks import get_task
    from vpo.tasks.check import check_task

    task = get_task(name, **read_options(option or []))
    found = list(task.dataset(split, rows, 1))
    report = check_task(task, found, seed)
    say(_describe(task.name, split, report))
    raise typer.Exit(1 if report.failures else 0)


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """Options from ``name=value``; a value is JSON where it can be read so, else text."""
    options: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--option is {word!r}: expected name=value, as path=rows/ or max_tests=4.")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _describe(name: str, split: str, report: CheckReport) -> str:
    references, full = report.num_references
    lines = [f"{name}: {report.num_answers} answers to {report.num_rows} rows of '{split}'"]
    for component, span in zip(report.components, report.ranges, strict=True):
        lines.append(f"  {component:<12} " + ("applied to no row" if span is None else f"{span[0]:g} to {span[1]:g}"))
    if references:
        lines.append(f"{full} of {references} reference answers earn full marks")
    else:
        lines.append("there are no reference answers: nothing is known of good ones")
    if not math.isnan(report.answers_per_s):
        lines.append(
            f"{report.answers_per_s:,.0f} {report.measured_on} a second, scored and given to the reward functions"
        )
    lines.append(f"slowest: {report.slowest[1]:.2f} s for {report.slowest[0]}")
    if report.geometry is not None:
        lines.append(_geometry(report.measured_on, report.geometry))
    lines += [f"look at: {remark}" for remark in report.remarks]
    lines += [f"FAILED: {failure}" for failure in report.failures[:_MOST_SHOWN]]
    if len(report.failures) > _MOST_SHOWN:
        lines.append(f"... and {len(report.failures) - _MOST_SHOWN} more")
    lines.append("fit to train on" if not report.failures else f"{len(report.failures)} failures")
    return "\n".join(lines)


def _geometry(measured_on: str, geometry: RewardGeometry) -> str:
    """Whether the vector is one in fact; a figure that nothing tells is left out."""
    figures = [f"of {measured_on}: {geometry.worth} ({geometry.verdict})"]
    if not math.isnan(geometry.correlation):
        figures.append(f"correlation of components {geometry.correlation:.2f}")
    if not math.isnan(geometry.effective_rank):
        figures.append(f"effective rank {geometry.effective_rank:.1f}")
    return ", ".join(figures) + "; a policy's own answers decide (set/specialist_gain in its log)"
