"""A scorer of one answer as a reward function of TRL's kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vpo.answers import completion_text
from vpo.tasks.protocol import RewardFunc, Row, Vector

# What TRL passes to a reward function that is no column of the dataset.
_NOT_COLUMNS = frozenset({"completion_ids", "trainer_state", "log_extra", "log_metric", "environments"})


def reward_function(name: str, components: tuple[str, ...], score: Callable[[str, Row], Vector]) -> RewardFunc:
    """Make a reward function that returns one vector an answer.

    Args:
        name: Of the task; TRL's metrics call the function ``name_reward``.
        components: Names of the entries of a vector; `vpo.rewards` reads them from the function.
        score: ``score(answer, row)``; the row has the dataset's columns but the prompt.
    """

    def reward(prompts: list[Any], completions: list[Any], **columns: Any) -> list[Vector]:
        own = {
            key: values
            for key, values in columns.items()
            if key not in _NOT_COLUMNS and isinstance(values, list) and len(values) == len(completions)
        }
        rows = ({key: values[i] for key, values in own.items()} for i in range(len(completions)))
        return [score(completion_text(answer), row) for answer, row in zip(completions, rows, strict=True)]

    reward.__name__ = f"{name}_reward"
    reward.components = components  # type: ignore[attr-defined]
    return reward
