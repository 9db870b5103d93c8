"""Runs the stages of one or more studies in processes of their own, a few at a time, with progress bars.

Killing it, or any of its processes, at any moment loses no finished stage and at most the steps since a stage's last
checkpoint; starting it again goes on from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn, TimeRemainingColumn

from vpo.cli.console import Console, text_column
from vpo.cli.study.settings import Settings
from vpo.cli.study.stages import Stage, stages_of


class StageError(ValueError):
    """A stage ended with an error; its log says why."""


@dataclass
class _Job:
    run: Path
    stage: Stage
    label: str
    task: TaskID
    process: subprocess.Popen[str] | None = None
    reader: Thread | None = None
    position: list[float] = field(default_factory=lambda: [0.0, 1.0])


def run_studies(studies: Sequence[tuple[Path, Settings]], search: bool = True, workers: int | None = None) -> None:
    """Do every stage that is not done yet.

    Args:
        studies: Folders and their settings.
        search: Whether search stages are wanted.
        workers: Stages at a time, one core each; by default as many as there are cores, at most 8.

    Raises:
        StageError: A stage failed. The others' results stay.
    """
    workers = workers or min(os.cpu_count() or 1, 8)
    with ExitStack() as locks:
        for run, settings in studies:
            locks.enter_context(only_runner(run))
            settings.save(run)
        _run(studies, search, workers)


@contextmanager
def only_runner(run: Path) -> Iterator[None]:
    """Hold the folder: two runners would train the same stage into the same files.

    Raises:
        ValueError: Another process holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process is working in {run}: wait for it, stop it, or choose another --out."
            ) from None
        yield  # the lock goes with the process, however that ends


def _run(studies: Sequence[tuple[Path, Settings]], search: bool, workers: int) -> None:
    console = Console(stderr=True)
    columns = [text_column("{task.description}"), BarColumn(), text_column("{task.percentage:>3.0f}%")]
    with Progress(*columns, TimeElapsedColumn(), text_column("left"), TimeRemainingColumn(), console=console) as bars:
        jobs = []
        for run, settings in studies:
            for stage in stages_of(settings, search):
                label = stage.name if len(studies) == 1 else f"{run.name}: {stage.name}"
                if not stage.is_done(run):
                    jobs.append(_Job(run, stage, label, bars.add_task(label, total=1.0, start=False, visible=False)))
        whole = bars.add_task("all stages", total=len(jobs)) if len(jobs) > 1 else None
        try:
            _schedule(jobs, workers, bars, whole)
        finally:
            for job in jobs:  # after an error or Ctrl-C: children stop where they are and resume from there
                if job.process is not None and job.process.poll() is None:
                    job.process.terminate()
                    job.process.wait()
                if job.reader is not None:
                    job.reader.join()


def _schedule(jobs: list[_Job], workers: int, bars: Progress, whole: TaskID | None) -> None:
    waiting = list(jobs)
    running: list[_Job] = []
    while waiting or running:
        for job in [job for job in running if job.process is not None and job.process.poll() is not None]:
            running.remove(job)
            _finish(job, bars)
            if whole is not None:
                bars.advance(whole)
        unfinished = {(job.run, job.stage.name) for job in [*waiting, *running]}
        for job in list(waiting):
            if len(running) < workers and not any((job.run, need) in unfinished for need in job.stage.needs):
                waiting.remove(job)
                running.append(job)
                _start(job, bars)
        for job in running:
            bars.update(job.task, completed=job.position[0], total=job.position[1])
        time.sleep(0.1)


def _start(job: _Job, bars: Progress) -> None:
    log = _log_path(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # nothing here needs a network
    command = [sys.executable, "-m", "vpo.cli.study.stages", str(job.run), job.stage.name, str(os.getpid())]
    with log.open("w") as errors:
        job.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **threads, **offline}
        )
    job.reader = Thread(target=_read, args=(job,), daemon=True)
    job.reader.start()
    bars.start_task(job.task)
    bars.update(job.task, visible=True)


def _read(job: _Job) -> None:
    """Take progress lines off a stage's output; whatever else it prints goes to nobody."""
    assert job.process is not None and job.process.stdout is not None
    with job.process.stdout as output:
        for line in output:
            try:
                progress = json.loads(line)
                job.position = [float(progress["done"]), float(progress["total"])]
            except (ValueError, KeyError, TypeError):
                continue


def _finish(job: _Job, bars: Progress) -> None:
    assert job.process is not None
    if job.process.returncode != 0 or not job.stage.is_done(job.run):
        log = _log_path(job)
        last = "\n".join(log.read_text(errors="replace").strip().splitlines()[-6:])
        raise StageError(
            f"stage '{job.label}' ended with status {job.process.returncode}:\n{last}\nThe whole log is {log}. Stages "
            "that ended are kept; start again to go on from the last checkpoint."
        )
    bars.update(job.task, completed=1.0, total=1.0)
    bars.stop_task(job.task)


def _log_path(job: _Job) -> Path:
    return job.run / "logs" / f"{job.stage.name.replace(' ', '_')}.log"
