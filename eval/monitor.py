"""The monitor's first cut: looks at the rollout log while a run trains.

It reports; it raises no alarms yet. An alarm that can be trusted needs a controlled rate of false ones, which is work
of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eval.formats import Taxonomy
from eval.looks import LabelFunction, Look, append_look, look_at, read_looks, write_looks
from eval.rollouts import read_rollouts


class RolloutMonitor(TrainerCallback):
    """Takes a look every few steps and at the end, on the main process, from what all processes logged.

    Looks are appended to ``<run_dir>/looks.jsonl``. A resumed run goes on in the same file; looks at steps that it is
    about to repeat are dropped.

    Args:
        run_dir: The trainer's ``output_dir``.
        w_star: (D,) weights of deployment.
        num_answers: m.
        every: Steps between looks.
        label: Kind of an answer from its text and dataset row, see :func:`eval.looks.look_at`.
        taxonomy: Formats of completions; :class:`~eval.formats.RuleTaxonomy` by default.

    Attributes:
        looks: Looks of the run so far, oldest first; none on other processes than the main one.

    Raises:
        ValueError: ``every`` or ``num_answers`` is below 1, or ``w_star`` is empty.
    """

    def __init__(
        self,
        run_dir: str | Path,
        w_star: Sequence[float],
        num_answers: int,
        every: int = 10,
        label: LabelFunction | None = None,
        taxonomy: Taxonomy | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every is {every}: expected at least 1 step between looks. Use 10.")
        if num_answers < 1:
            raise ValueError(f"num_answers is {num_answers}: expected at least 1. Give VPOConfig's num_answers.")
        if len(w_star) == 0:
            raise ValueError("w_star is empty: expected one weight a component. Give the weights of deployment.")
        self.run_dir = Path(run_dir)
        self.w_star = tuple(w_star)
        self.num_answers = num_answers
        self.every = every
        self.label = label
        self.taxonomy = taxonomy
        self.looks: list[Look] = []

    @property
    def path(self) -> Path:
        """Where looks are kept."""
        return self.run_dir / "looks.jsonl"

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the looks of a run that is resumed."""
        if state.is_world_process_zero:
            self.looks = [look for look in read_looks(self.path) if look.step < state.global_step]
            self.run_dir.mkdir(parents=True, exist_ok=True)
            write_looks(self.path, self.looks)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look, if it is time."""
        if state.is_world_process_zero and (state.global_step % self.every == 0 or state.global_step == 1):
            self._look(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at what came after the last regular look, unless that is too little to be held against the others."""
        last = self.looks[-1].step if self.looks else -1
        if state.is_world_process_zero and (state.global_step - 1 - last >= self.every / 2 or not self.looks):
            self._look(state.global_step)

    def _look(self, steps_done: int) -> None:
        last = self.looks[-1].step if self.looks else -1
        # A process that is ahead may have written files of the step to come already.
        steps = [(step, rows) for step, rows in read_rollouts(self.run_dir / "rollouts", last) if step < steps_done]
        if steps:
            look = look_at(steps, self.w_star, self.num_answers, self.label, self.taxonomy)
            self.looks.append(look)
            append_look(self.path, look)
