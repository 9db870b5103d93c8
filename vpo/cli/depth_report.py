"""`vpo depth report`: what each loop of a model buys on a text or a task; a page, its numbers, and a verdict."""

from __future__ import annotations

import resource
import shlex
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpo.cli.console import Console
from vpo.cli.hardware import hardware
from vpo.cli.models import load_model, require_tokenizer, within_context
from vpo.record.surroundings import versions

if TYPE_CHECKING:
    from eval.depth import DepthProbe, DepthReport, Passage, Plan

_PACKAGES = ("vpo", "torch", "transformers")
_PAST_TRAINING = 2  # loops beyond the trained depth and the cap that are run, to see what more would do
_MOST_ROWS = 2048  # of a task
_USUAL_CAP = 4  # `vpo depth calibrate`'s; for models that do not say how deep they were trained


@dataclass(frozen=True)
class Reporting:
    """What `vpo depth report` was asked for; fields are its options."""

    model: str
    text: Path | None
    task: str | None
    options: list[str]
    split: str
    out: Path
    loops: int | None
    cap: int | None
    trained_loops: int | None
    tols: list[float] | None
    target_kl: float
    slack: float
    length: int
    batch_size: int
    max_tokens: int
    generate: int
    max_new_tokens: int
    jacobian: bool
    png: bool
    trust_remote_code: bool
    seed: int


def run_depth_report(asked: Reporting) -> int:
    """Measure, write the page, and print the verdict.

    Returns:
        0.

    Raises:
        ValueError: Not exactly one of text and task; the model does not loop; a number is out of its range.
        FileExistsError: ``out`` is a file.
        ImportError: ``png`` without matplotlib.
    """
    if (asked.text is None) == (asked.task is None):
        raise ValueError(
            f"--text is {asked.text} and --task is {asked.task}: expected exactly one of them, what to measure on."
        )
    if asked.generate and asked.task is None:
        raise ValueError(f"--generate is {asked.generate} without a task: expected --task, which scores the answers.")
    from eval.depth import LoopedProbe, measure_depth, passage_batches, probe_of
    from eval.report.depth import write_depth_report
    from vpo.cli.depth_tasks import rewards_by_loop, task_passages

    started = time.monotonic()
    console, status = Console(), Console(stderr=True)
    with status.status(f"loading {asked.model}") as line:
        model, tokenizer = load_model(asked.model, asked.trust_remote_code), require_tokenizer(asked.model)
        asked = replace(asked, length=within_context(model, asked.length))
        probe = probe_of(model, asked.seed, asked.trained_loops)
        plan, notes = _plan(asked, probe)
        task, rows = _task_rows(asked)
        if asked.generate and not isinstance(probe, LoopedProbe):
            raise ValueError(
                f"--generate is {asked.generate} for a model of kind {probe.kind!r}: expected one of ours, whose depth "
                "generate can set for each call. Leave --generate out."
            )
        if task is None:
            passages = _text_passages(asked, tokenizer)
        else:
            passages, said = task_passages(task, rows, tokenizer, asked.length, asked.max_tokens, asked.seed)
            notes += said
        batches = passage_batches(passages, asked.batch_size)
        device = next(model.parameters()).device
        batches = [
            replace(each, ids=each.ids.to(device), mask=each.mask.to(device), counts=each.counts.to(device))
            for each in batches
        ]
        report = measure_depth(
            probe,
            batches,
            plan,
            title=f"How deep should {Path(asked.model).name} loop?",
            model=asked.model,
            is_task=asked.task is not None,
            progress=line.update,
        )
        if task is not None and asked.generate:
            chosen = rows[: asked.generate]
            report = replace(
                report,
                rewards=rewards_by_loop(
                    model, "num_loops", task, chosen, tokenizer, report.loops, asked.max_new_tokens, line.update
                ),
            )
    report = replace(
        report,
        command="vpo " + shlex.join(sys.argv[1:]) if sys.argv[1:2] == ["depth"] else f"vpo depth report {asked.model}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware(),
        data=_data(asked),
        versions=versions(*_PACKAGES),
        notes=[*notes, *report.notes],
        seconds=round(time.monotonic() - started, 1),
        peak_memory_gib=round(_peak_bytes() / 2**30, 2),
    )
    files = write_depth_report(report, asked.out, png=asked.png)
    _print(report, console)
    console.print("wrote " + ", ".join(map(str, files)), highlight=False, soft_wrap=True)
    return 0


def _plan(asked: Reporting, probe: DepthProbe) -> tuple[Plan, list[str]]:
    from eval.depth import Plan
    from vpo.looped.calibrate import TOLERANCES

    notes = []
    trained = probe.trained_loops
    cap = asked.cap
    if cap is None:
        cap = trained if trained > 1 else _USUAL_CAP
    if trained == 1 and asked.trained_loops is None:
        notes.append(
            f"The model's own policy runs 1 loop, so its trained depth is taken to be 1, and the cap {cap}: say what "
            "it was trained with (--trained-loops)."
        )
    loops = max(cap, trained) + _PAST_TRAINING if asked.loops is None else asked.loops
    at = tuple(sorted({1, min(cap, loops), loops})) if asked.jacobian else ()
    tols = tuple(sorted(set(asked.tols or TOLERANCES[1::2])))  # a pass each; `vpo depth calibrate` tries them all
    plan = Plan(loops, cap, tols, target_kl=asked.target_kl, slack=asked.slack, jacobian_loops=at, seed=asked.seed)
    return plan, notes


def _task_rows(asked: Reporting) -> tuple[Any, list[Any]]:
    """The task with its rows; None and none if it is text that was given."""
    if asked.task is None:
        return None, []
    from vpo.cli.tasks import read_options
    from vpo.tasks import get_task

    task = get_task(asked.task, **read_options(asked.options))
    size = min(max(asked.max_tokens // 8, asked.generate), _MOST_ROWS)  # a row has more than 8 tokens
    return task, list(task.dataset(asked.split, size, 1))


def _text_passages(asked: Reporting, tokenizer: Any) -> list[Passage]:
    """Passages of the text, cut to ``length``, in their order until ``max_tokens``; one for each text first."""
    from eval.depth import Passage
    from eval.formats import RuleTaxonomy
    from vpo.cli.texts import read_rows

    assert asked.text is not None  # checked by the caller
    label, room, passages = RuleTaxonomy(), asked.max_tokens, []
    for row in read_rows(asked.text):
        ids = tokenizer(row["text"])["input_ids"][: max(room, 0)]
        room -= len(ids)
        kind, hard = ("" if row.get(name) is None else str(row[name]) for name in ("format", "difficulty"))
        kind = kind or label(row["text"])
        for start in range(0, len(ids), asked.length):
            part = ids[start : start + asked.length]
            if len(part) >= 2:  # a single token predicts nothing
                passages.append(Passage(part, kind=kind, difficulty=hard))
    return passages


def _data(asked: Reporting) -> str:
    if asked.text is not None:
        return f"Measured on {asked.text}, the first {asked.max_tokens:,} tokens in passages of {asked.length} at most:"
    return f"Measured on answers to the prompts of task {asked.task}, split {asked.split}:"


def _print(report: DepthReport, console: Console) -> None:
    from eval.report.depth.words import number, setting_lines

    loss = report.series["cross_entropy"].mean
    spot = report.sweet_spot
    console.print(
        f"{report.num_tokens:,} predictions in {report.num_sequences} passages. Cross-entropy by loop: "
        f"{', '.join(number(each) for each in loss)} nats. Sweet spot {spot.loop} [{spot.lo}, {spot.hi}].",
        highlight=False,
    )
    for each in report.advice:
        console.print(f"{each.kind}: {each.text}", highlight=False)
        for line in setting_lines(each.settings):
            console.print(f"    {line}", highlight=False)
    if report.seconds is not None and report.peak_memory_gib is not None:
        console.print(f"took {report.seconds:.0f} s, peak memory {report.peak_memory_gib:.1f} GiB", highlight=False)


def _peak_bytes() -> int:
    """Largest resident memory of this process so far; the kernel counts in KiB, on macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
