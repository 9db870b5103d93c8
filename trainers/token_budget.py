"""Stop training after a number of generated tokens, so that runs compare at equal cost.

Steps do not compare: a step of several answers a completion generates other amounts than one of single answers.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


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
