"""Stop training after a number of generated tokens, so that runs compare at equal cost.

Steps do not compare: a step of several answers a completion generates other amounts than one of single answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import get_last_checkpoint

from trainers.given_checks import check_resume


class StopsAtBudget:
    """Mixin of a trainer with a ``token_budget``: resumed when the budget is spent already, it takes no further step.

    Transformers looks at ``should_training_stop`` after a step, never before the first.
    """

    token_budget: TokenBudget

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """As ``Trainer.train``.

        Raises:
            ValueError: There is no such checkpoint.
        """
        args = self.args  # type: ignore[attr-defined]
        check_resume(resume_from_checkpoint, args.output_dir)
        checkpoint = resume_from_checkpoint
        if checkpoint is True:
            checkpoint = get_last_checkpoint(args.output_dir) or True
        if not isinstance(checkpoint, (str, Path)) or not self.token_budget.is_spent_at(Path(checkpoint)):
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)  # type: ignore[misc]
        steps = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME)).global_step
        most, args.max_steps = args.max_steps, steps  # loads the checkpoint, finds all steps done, and ends
        try:
            return super().train(resume_from_checkpoint=str(checkpoint), **kwargs)  # type: ignore[misc]
        finally:
            args.max_steps = most


class TokenBudget(TrainerCallback, ExportableState):
    """Counts generated tokens of all processes; stops at the step that reaches the budget.

    The count is saved with every checkpoint and continues from there on resume.

    Args:
        limit: Completion tokens to generate, or None to count only.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"the token budget is {limit}: expected 1 or more, or None for no limit.")
        self.limit = limit
        self.generated = 0

    def add(self, tokens: int) -> None:
        """Count the tokens of one generation batch, all processes together."""
        self.generated += tokens

    def is_spent_at(self, checkpoint: Path) -> bool:
        """Whether a run that is resumed from there has nothing left to spend."""
        if self.limit is None or not (checkpoint / TRAINER_STATE_NAME).is_file():
            return False
        saved = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME)).stateful_callbacks
        return bool(saved.get("TokenBudget", {}).get("attributes", {}).get("generated", 0) >= self.limit)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {"limit": self.limit}, "attributes": {"generated": self.generated}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the count of the checkpoint, if the run was resumed from one."""
        saved = state.stateful_callbacks.get(type(self).__name__)
        self.generated = saved["attributes"]["generated"] if saved and state.global_step else 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Stop once the budget is spent."""
        if self.limit is not None and self.generated >= self.limit:
            control.should_training_stop = True
        return control
