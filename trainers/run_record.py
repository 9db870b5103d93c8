"""Writes ``run.json`` (:mod:`vpo.record`) when training begins, and at its end; the main process alone."""

from __future__ import annotations

import logging
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from vpo.record import RunFile

logger = logging.getLogger(__name__)


class RunRecord(TrainerCallback):
    """A trainer's record of itself; ``trainer.remove_callback(trainer.run_record)`` for a run that should leave none.

    Args:
        trainer: The trainer that it is added to.

    Attributes:
        more: Settings that the trainer does not know, such as those of the script that made it.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.more: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write down what begins, or what goes on."""
        if not state.is_world_process_zero:
            return
        seeds = {"seed": args.seed, "data_seed": args.data_seed, "full_determinism": args.full_determinism}
        processes = self.trainer.accelerator.num_processes
        settings = {"training": args.to_dict(), **self.more, "parts": self._parts()}
        try:  # a full disk will end the run soon enough; a missing record need not
            record = RunFile(args.output_dir)
            record.begin("train", settings, seeds=seeds, processes=processes, step=state.global_step)
        except OSError as error:
            logger.warning("run.json could not be written to %s: %s", args.output_dir, error)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write down how it ended."""
        if not state.is_world_process_zero:
            return
        budget = self.trainer.token_budget
        if budget.limit is not None and budget.generated >= budget.limit:
            why, of = "token budget spent", state.global_step
        else:
            of = state.max_steps
            why = "all steps done" if state.global_step >= of else "stopped early"
        try:
            RunFile(args.output_dir).end(state.global_step, of, why)
        except OSError as error:
            logger.warning("run.json could not be written to %s: %s", args.output_dir, error)

    def _parts(self) -> dict[str, Any]:
        """What was handed to the trainer as objects, in words."""
        trainer = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        rows = trainer.train_dataset
        return {
            "model": getattr(model.config, "_name_or_path", "") or type(model).__name__,
            "model_class": type(model).__name__,
            "depth_policy": repr(model.depth_policy) if hasattr(model, "depth_policy") else None,
            "rewards": list(trainer.reward_func_names),
            "rows": len(rows) if hasattr(rows, "__len__") else None,
        }
