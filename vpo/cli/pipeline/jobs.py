"""The jobs of a pipeline: what each stage runs, in which folder, and how far it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpo.cli.job_folder import JobFolder
from vpo.cli.pipeline.config import Pipeline
from vpo.cli.pipeline.stages import TRAIN_OWN

SETTINGS = "pipeline.json"


@dataclass(frozen=True)
class Job(JobFolder):
    """One process.

    Attributes:
        name: Shown, and given to the process.
        stage: The stage that it is of.
        folder: Its own; ``done.json`` in it marks the end.
        recipe: Of a job that is a run of ``trainers.vpo``; None for one of `vpo.cli.pipeline.work`.
        total: Steps that it will take; None if it does not count them.
    """

    name: str
    stage: str
    folder: Path
    recipe: Mapping[str, Any] | None = None
    total: int | None = None

    def steps(self) -> int:
        """Steps that are behind it."""
        if self.stage == "train":
            from eval.rollouts import files_by_step

            folder = self.folder / "rollouts"
            return max(files_by_step(folder), default=-1) + 1 if folder.is_dir() else 0
        try:
            return int(json.loads((self.folder / "progress.json").read_text()))
        except (OSError, ValueError):
            return 0

    def command(self, pipeline: Pipeline, gpus: int) -> list[str]:
        """Make the folder ready, and say what is to be started."""
        from vpo.cli.study.training import last_whole_checkpoint
        from vpo.cli.train import launch_command

        if self.stage == "convert" or self.stage == "evaluate":  # these begin anew
            seconds = self.seconds
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.note_seconds(seconds)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.recipe is None:
            return [sys.executable, "-m", "vpo.cli.pipeline.work", str(pipeline.out), self.name, str(os.getpid())]
        import yaml

        recipe = self.folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(dict(self.recipe), sort_keys=False), encoding="utf-8")
        words = ["--config", str(recipe)]
        checkpoint = last_whole_checkpoint(self.folder)
        if checkpoint is not None:
            words += ["--resume_from_checkpoint", checkpoint]
        if self.is_alone(pipeline, gpus):
            return [sys.executable, "-m", "trainers.vpo", *words]
        own = pipeline.stages["train"]
        configured = own.get("accelerate_config") if gpus else None
        return launch_command(own.get("processes"), gpus, None if configured is None else Path(configured), words)

    def is_alone(self, pipeline: Pipeline, gpus: int) -> bool:
        """Whether it is one process: all are but the training, which takes every GPU unless the file says otherwise."""
        own = pipeline.stages["train"] if self.stage == "train" else {"processes": 1}
        return not (own.get("accelerate_config") and gpus) and int(own.get("processes") or max(gpus, 1)) == 1


def jobs_of(pipeline: Pipeline) -> list[Job]:
    """All jobs, each after those whose results it reads."""
    found: list[Job] = []
    for stage, settings in pipeline.stages.items():
        folder = pipeline.out / stage
        if stage == "model" and settings.get("name"):
            continue  # loaded by its name where it is needed
        if stage == "train":
            found.append(Job(stage, stage, folder, _recipe(pipeline, folder), settings.get("max_steps")))
        elif stage == "evaluate":
            for policy in pipeline.policies(stage):
                recipe = _evaluation(pipeline, policy, folder / policy)
                found.append(Job(f"evaluate {policy}", stage, folder / policy, recipe))
        else:
            found.append(Job(stage, stage, folder, None, settings.get("max_steps") if stage == "heal" else None))
    return found


def _recipe(pipeline: Pipeline, folder: Path) -> dict[str, Any]:
    own = {key: value for key, value in pipeline.stages["train"].items() if key not in TRAIN_OWN}
    return {
        "report_to": "none",
        **own,
        "model_name_or_path": pipeline.model_of(pipeline.start),
        "output_dir": str(folder),
        "seed": pipeline.seed,
    }


def _evaluation(pipeline: Pipeline, policy: str, folder: Path) -> dict[str, Any]:
    """The training's recipe with a policy in it, and nothing trained."""
    asked = pipeline.stages["evaluate"]
    completions = int(asked.get("completions", 4))
    return {
        **_recipe(pipeline, folder),
        "model_name_or_path": pipeline.model_of(policy),
        "report_to": "none",
        "evaluate": "only",
        "eval_strategy": "no",
        "monitor": None,
        "log_rollouts": True,
        "beta": 0.0,  # no reference model, which nothing would ask
        "task_rows": 8,  # of training, which is not done
        "task_eval_rows": int(asked.get("prompts", 64)),
        "num_generations_eval": completions,
        "per_device_eval_batch_size": completions * max(1, int(asked.get("batch_size", 64)) // completions),
    }
