"""verl's dumps of rollouts and validations: ``{global_step}.jsonl`` in ``trainer.rollout_data_dir``.

Written by ``RayPPOTrainer._dump_generations``: ``input``, ``output``, ``gts`` (ground truth), ``score``, ``step``, and
what the reward function returned beside the score, by name. ``score`` and each of these that holds numbers is a
component; the others make the row. verl counts a batch under the step that trains on it, one more than the optimizer
steps done when it was drawn; its own number is kept, so that it agrees with its metrics.

Validation dumps look the same; samples drawn greedily there must not be held against rollouts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from eval.sources.errors import SourceError
from eval.sources.numbered import NumberedDumps
from eval.sources.rewards import Place, numeric_names

_NO_REWARDS = {"step", "input", "output", "gts"}


class VerlRollouts(NumberedDumps):
    """A folder of verl's dumps, or one of its files."""

    name = "verl rollouts"
    pattern = re.compile(r"(\d+)\.jsonl(?:\.gz)?")

    def _components(self, columns: dict[str, list[Any]], place: Place) -> list[str]:
        if missing := [key for key in ("input", "output", "score") if key not in columns]:
            raise SourceError(
                f"{place(0)} has no {', '.join(map(repr, missing))}: expected verl's input, output and score, got "
                f"{', '.join(columns)}. Point at trainer.rollout_data_dir, or name the kind of log with kind=."
            )
        extras = [name for name in numeric_names(columns) if name not in _NO_REWARDS | {"score"}]
        return ["score", *extras]


def is_verl(keys: Collection[str]) -> bool:
    """Whether a record with these keys is verl's."""
    return {"input", "output", "score"} <= set(keys)
