"""The runs of a comparison: their recipe files, their processes, and what is done already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpo.cli.compare.arms import fingerprint, recipe_of_arm
from vpo.cli.job_folder import JobFolder
from vpo.cli.study.training import finish, last_whole_checkpoint
from vpo.cli.train import launch_command
from vpo.yaml_file import read_yaml

BASE = "base"


@dataclass(frozen=True)
class Plan:
    """What a comparison runs.

    Args:
        recipe: The recipe that all arms share.
        arms: Name -> fields, as from `read_arms`.
        seeds: Number of seeds, from 0.
        budget: Completion tokens that each run may generate in training.
        answers: Answers that each policy gives to each test prompt.
        prompts: Test prompts.
        out: Folder of the comparison.
    """

    recipe: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any] | None]
    seeds: int
    budget: int
    answers: int
    prompts: int
    out: Path

    def __post_init__(self) -> None:
        for name in ("seeds", "budget", "answers", "prompts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: expected 1 or more.")
        scheduler = str(self.recipe.get("lr_scheduler_type", "linear"))
        if not scheduler.startswith("constant"):
            raise ValueError(
                f"lr_scheduler_type is {scheduler!r}: how many steps a token budget gives is not known beforehand, so "
                "that a schedule over steps would end too early or too late. Set lr_scheduler_type: constant."
            )
        for answers in {int(self.recipe.get("num_answers", 3)), *self._answers_of_arms()}:
            if self.answers % answers:
                raise ValueError(
                    f"{self.answers} test answers do not divide into completions of {answers}: choose a multiple."
                )

    def _answers_of_arms(self) -> list[int]:
        return [int(fields["num_answers"]) for fields in self.arms.values() if fields and "num_answers" in fields]

    def runs(self) -> list[Run]:
        """All runs: first the base, then seed by seed, so that an early look compares all arms."""
        found = [self._run(BASE, None, 0)]
        single = [name for name, fields in self.arms.items() if fields and fields.get("num_answers") == 1]
        if single and int(self.recipe.get("num_answers", 3)) > 1:
            found.append(self._run(f"{BASE}, single answers", {"num_answers": 1}, 0))
        return found + [
            self._run(name, fields, seed) for seed in range(self.seeds) for name, fields in self.arms.items()
        ]

    def _run(self, name: str, fields: Mapping[str, Any] | None, seed: int) -> Run:
        recipe = recipe_of_arm(self.recipe, fields)
        answers = int(recipe.get("num_answers", 3))
        completions = self.answers // answers
        folder = self.out / name / f"seed{seed}"
        recipe |= {
            "output_dir": str(folder),
            "seed": seed,
            "max_generated_tokens": self.budget,
            "task_eval_rows": self.prompts,
            "num_generations_eval": completions,
            "per_device_eval_batch_size": completions * max(1, 64 // completions),
            "evaluate": "only" if name.startswith(BASE) else "at_end",
            "eval_strategy": "no",
            "log_rollouts": True,
            "save_total_limit": recipe.get("save_total_limit", 1),
        }
        recipe.setdefault("max_steps", 10**6)  # the budget ends a run
        recipe.setdefault("report_to", "none")
        return Run(name, seed, answers, folder, recipe)


@dataclass(frozen=True)
class Run(JobFolder):
    """One arm under one seed."""

    arm: str
    seed: int
    num_answers: int
    folder: Path
    recipe: Mapping[str, Any]

    def prepare(self) -> Path:
        """Write the recipe file, or check that the one that is there is the same.

        Raises:
            ValueError: The folder holds a run of another recipe.
        """
        import yaml

        path = self.folder / "recipe.yaml"
        if path.is_file():
            found = read_yaml(path).content
            if fingerprint(found) != fingerprint(json.loads(json.dumps(self.recipe, default=str))):
                raise ValueError(
                    f"{self.folder} holds a run of another recipe: expected the same to go on with it. Choose another "
                    "--out, or delete the folder."
                )
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(yaml.safe_dump(json.loads(json.dumps(self.recipe, default=str)), sort_keys=False))
        os.replace(temporary, path)
        return path

    def start(self, processes: int | None, accelerate_config: Path | None, gpus: int) -> subprocess.Popen[bytes]:
        """Start its processes; standard output and errors go to ``log.txt`` of its folder."""
        words = ["--config", str(self.prepare())]
        checkpoint = last_whole_checkpoint(self.folder)
        if checkpoint is not None:
            words += ["--resume_from_checkpoint", checkpoint]
        if accelerate_config is None and (processes or max(gpus, 1)) == 1:
            command = [sys.executable, "-m", "trainers.vpo", *words]
        else:
            command = launch_command(processes, gpus, accelerate_config, words)
        environment = {**os.environ, "VPO_RUNNER_PID": str(os.getpid())}
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def generated(self) -> int:
        """Completion tokens that it has generated in training so far, read off its rollout log's newest file."""
        from eval.rollouts import rollout_files

        files = rollout_files(self.folder / "rollouts") if (self.folder / "rollouts").is_dir() else []
        return sum(_tokens(path) for path in files)


_SEEN: dict[Path, int] = {}


def _tokens(path: Path) -> int:
    """Completion tokens of one file of a rollout log; files never change."""
    if path not in _SEEN:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            column = pq.read_table(path, columns=["completion_tokens"])["completion_tokens"]
        except FileNotFoundError:  # a resumed run has just deleted it
            return 0
        _SEEN[path] = int(pc.sum(column).as_py() or 0)
    return _SEEN[path]


class RunError(ValueError):
    """A run ended with an error; its log says why."""


def do_runs(
    runs: Sequence[Run],
    processes: int | None,
    accelerate_config: Path | None,
    gpus: int,
    progress: Callable[[Run, int], None],
) -> Iterator[Run]:
    """Do every run that is not done yet, one after the other, and yield each when it is.

    Args:
        runs: The runs.
        processes: Processes of each.
        accelerate_config: For several GPUs.
        gpus: GPUs of this machine.
        progress: Called about every second with the run and its generated tokens.

    Raises:
        RunError: A run failed. The others' results stay.
        ValueError: A folder holds a run of another recipe.
    """
    for run in runs:
        run.prepare()  # all of them before the first starts: a clash is found at once
    for run in runs:
        if not run.is_done:
            _do(run, processes, accelerate_config, gpus, progress)
        yield run


def _do(
    run: Run, processes: int | None, accelerate_config: Path | None, gpus: int, progress: Callable[[Run, int], None]
) -> None:
    before, started = run.seconds, time.perf_counter()
    process = run.start(processes, accelerate_config, gpus)
    try:
        while process.poll() is None:
            progress(run, run.generated())
            time.sleep(1.0)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        run.note_seconds(before + time.perf_counter() - started)
    if process.returncode != 0:
        last = "\n".join((run.folder / "log.txt").read_text(errors="replace").strip().splitlines()[-6:])
        raise RunError(
            f"run '{run.arm}', seed {run.seed} ended with status {process.returncode}:\n{last}\nThe whole log is "
            f"{run.folder / 'log.txt'}. Runs that ended are kept; start again to go on from the last checkpoint."
        )
    finish(run.folder, {"generated_tokens": run.generated()})
