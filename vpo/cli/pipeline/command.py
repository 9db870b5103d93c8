"""`vpo pipeline`: plan, run what is not done, summarise."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn

from vpo.cli.console import Console, text_column
from vpo.cli.pipeline.config import Pipeline, check_here, read_pipeline
from vpo.cli.pipeline.jobs import SETTINGS, Job, jobs_of
from vpo.cli.pipeline.stages import READS
from vpo.cli.pipeline.summary import print_summary, summarise, write_summary
from vpo.cli.saying import say
from vpo.cli.study.runner import only_runner
from vpo.cli.study.training import finish

_POLL_S = 0.5


class PipelineError(ValueError):
    """A stage ended with an error; its log says why."""


def run_pipeline(
    recipe: Path, until: str | None, redo: str | None, smoke: bool, dry_run: bool, sets: Sequence[str], command: str
) -> int:
    """Run or continue a pipeline; see `vpo.cli.pipeline.options` for the arguments.

    Returns:
        0 when all stages that were asked for are done.

    Raises:
        ValueError: The file makes no sense or cannot run from this folder, or its folder holds a pipeline with other
            settings.
        PipelineError: A stage failed.
    """
    for option, stage in (("--until", until), ("--redo", redo)):
        if stage is not None and stage not in READS:
            raise ValueError(f"{option} is {stage!r}: expected one of {', '.join(READS)}.")
    pipeline = read_pipeline(recipe, smoke, sets, dry_run)
    check_here(pipeline, recipe)
    console = Console(stderr=True, soft_wrap=True)
    if not dry_run:
        summary = _run(pipeline, until, redo, command, console)
        written = write_summary(summary, pipeline.out)
        print_summary(summary)
        say(f"summary: {', '.join(map(str, written))}")
        return 0
    with tempfile.TemporaryDirectory(prefix="vpo-dry-run-") as scratch:
        trial = Pipeline(Path(scratch) / "run", pipeline.seed, pipeline.stages)
        summary = _run(trial, until, None, command, console)
    for name, seconds in summary["seconds"].items():
        say(f"{name}: {seconds:.0f} s")
    say("dry run: one step of each of these; nothing was kept")
    return 0


def _run(pipeline: Pipeline, until: str | None, redo: str | None, command: str, console: Console) -> dict[str, Any]:
    """Do what is not done, and give the summary."""
    with only_runner(pipeline.out):
        if redo is not None:
            _throw_away(pipeline, redo)
        _settle(pipeline)
        wanted = list(READS)[: list(READS).index(until) + 1] if until else list(READS)
        jobs = [job for job in jobs_of(pipeline) if job.stage in wanted]
        _say_plan(jobs, pipeline, console)
        try:
            _run_jobs([job for job in jobs if not job.is_done], pipeline, console)
        except KeyboardInterrupt:
            raise SystemExit(130) from None  # the command line says how to go on
        return summarise(pipeline, command)


def _settle(pipeline: Pipeline) -> None:
    """Write the settings down, or refuse others than those of a stage that has begun.

    Raises:
        ValueError: A stage has begun with other settings.
    """
    path = pipeline.out / SETTINGS
    now: dict[str, Any] = json.loads(json.dumps({"seed": pipeline.seed, "stages": pipeline.stages}, default=str))
    if path.is_file():
        former = json.loads(path.read_text(encoding="utf-8"))
        for stage in READS:
            ours, theirs = now["stages"].get(stage), former["stages"].get(stage)
            begun = any(job.folder.exists() for job in jobs_of(pipeline) if job.stage == stage)
            if begun and (ours != theirs or now["seed"] != former["seed"]):
                changed = _changes({**(ours or {}), "seed": now["seed"]}, {**(theirs or {}), "seed": former["seed"]})
                raise ValueError(
                    f"{pipeline.out} holds stage {stage} with other settings ({changed}): expected the same to go on. "
                    f"Give another out (--set out=FOLDER), or begin again from there with --redo {stage}."
                )
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def _changes(now: dict[str, Any], before: dict[str, Any]) -> str:
    keys = [key for key in {**before, **now} if now.get(key) != before.get(key)]
    return ", ".join(f"{key} was {before.get(key)!r}, is {now.get(key)!r}" for key in keys)


def _throw_away(pipeline: Pipeline, stage: str) -> None:
    """Delete the results of a stage, and of those that read them."""
    gone = {stage}
    for other, reads in READS.items():
        if gone.intersection(reads):
            gone.add(other)
    for each in gone:
        shutil.rmtree(pipeline.out / each, ignore_errors=True)


def _say_plan(jobs: Sequence[Job], pipeline: Pipeline, console: Console) -> None:
    done = [job.name for job in jobs if job.is_done]
    left = [job.name for job in jobs if not job.is_done]
    before = f"done: {', '.join(done)}; " if done else ""
    console.print(f"{pipeline.out}: {before}to do: {', '.join(left) or '-'}")


def _run_jobs(jobs: Sequence[Job], pipeline: Pipeline, console: Console) -> None:
    import torch

    gpus = torch.cuda.device_count()
    columns = [text_column("{task.description}"), BarColumn(), text_column("{task.fields[steps]}"), TimeElapsedColumn()]
    with Progress(*columns, console=console) as bars:
        for job in jobs:
            bar = bars.add_task(job.name, total=job.total, steps="")
            _run_job(job, pipeline, gpus, bars, bar)
            bars.update(bar, total=1, completed=1, steps="done")
            if not console.is_terminal:
                console.print(f"{job.name}: done, {job.seconds:.0f} s")


def _run_job(job: Job, pipeline: Pipeline, gpus: int, bars: Progress, bar: TaskID) -> None:
    before, began = job.seconds, job.steps()
    command = job.command(pipeline, gpus)
    log = pipeline.out / "logs" / f"{job.name.replace(' ', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    how = f"goes on, {began} steps had been taken" if began else "starts"
    bars.console.print(f"{job.name}: {how}; log {log}")
    environment = {**os.environ, "VPO_RUNNER_PID": str(os.getpid()), "TOKENIZERS_PARALLELISM": "false"}
    if gpus > 1 and job.is_alone(pipeline, gpus):  # TRL refuses a process that sees several and uses one
        environment.setdefault("CUDA_VISIBLE_DEVICES", "0")
    started = time.perf_counter()
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        while process.poll() is None:
            steps = job.steps()
            bars.update(bar, completed=steps if job.total else None, steps=f"step {steps}" if steps else "")
            job.note_seconds(before + time.perf_counter() - started)
            time.sleep(_POLL_S)
    finally:
        if process.poll() is None:  # after an error or Ctrl-C: it goes on from its checkpoint
            process.terminate()
            process.wait()
        job.note_seconds(before + time.perf_counter() - started)
    if process.returncode == 0 and job.recipe is not None:
        finish(job.folder, {})
    if process.returncode != 0 or not job.is_done:
        last = "\n".join(log.read_text(errors="replace").strip().splitlines()[-6:])
        raise PipelineError(
            f"stage '{job.name}' ended with status {process.returncode}:\n{last}\nThe whole log is {log}. Stages that "
            "ended are kept; start again to go on from the last checkpoint."
        )
