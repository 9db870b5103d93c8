"""A rollout log as columns: one row an answer, with its format and whether it was right.

The only place of the study that knows the log's layout, so that another monitor can take the log from here on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.looks import completion_text
from eval.rollouts import read_rollouts


@dataclass(frozen=True, eq=False)
class Answers:
    """All answers of one step. Letters: N answers.

    Attributes:
        step: Optimizer steps done when they were drawn.
        epoch: Passes over the prompts.
        prompts: (N,) ids.
        completions: (N,) which completion of the step; answers of one completion are no independent witnesses.
        formats: (N,) labels.
        correct: (N,) 0 or 1.
        tokens: Generated tokens of the step.
    """

    step: int
    epoch: float
    prompts: NDArray[np.str_]
    completions: NDArray[np.int64]
    formats: NDArray[np.str_]
    correct: NDArray[np.float64]
    tokens: int


def read_steps(folder: Path, label: Callable[[str, dict[str, Any]], str]) -> Iterator[Answers]:
    """Steps of a log in order. A completion without a readable answer is one wrong answer with all of its text.

    Args:
        folder: The run's ``rollouts``.
        label: Format of an answer; it must not look at success.
    """
    for step, rows in read_rollouts(folder):
        prompts, completions, formats, correct = [], [], [], []
        for number, row in enumerate(rows):
            columns = json.loads(row["metadata"])
            texts = row["answers"] or [completion_text(row["completion"])]
            place = row["components"].index("correct") if row["answers"] else 0
            for i, text in enumerate(texts):
                prompts.append(row["prompt_id"])
                completions.append(number)
                formats.append(label(text, columns))
                correct.append(row["rewards"][i][place] if row["answers"] else 0.0)
        yield Answers(
            step=step,
            epoch=float(rows[-1]["epoch"]),
            prompts=np.array(prompts),
            completions=np.array(completions),
            formats=np.array(formats),
            correct=np.array(correct, dtype=float),
            tokens=sum(row["completion_tokens"] for row in rows),
        )
