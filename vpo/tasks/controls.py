"""What a table must be held against beside the base: fixed answers that never look at the prompt.

A policy that has not learned to read its prompt can still score well by a few constant answers; the blind control is
the best such set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpo.tasks.tiny_task import TinyTask


def reward_table(task: TinyTask, answers: Sequence[str], examples: Sequence[Any]) -> NDArray[np.float64]:
    """(examples, answers, components) reward vectors of the same answers to every example."""
    rows = [task.row(example, 1) for example in examples]
    return np.array([[task.score(answer, row) for answer in answers] for row in rows])


def best_blind_set(table: NDArray[np.float64], weights: NDArray[np.float64], size: int) -> list[int]:
    """Greedy choice of ``size`` columns of ``table`` (P, R, D) that maximises the mean best utility.

    ``weights`` (K, D): one row for a fixed taste, many for a random one. The greedy choice is within 1 - 1/e of the
    best set, since the mean of a maximum is submodular.
    """
    utility = np.einsum("prd,kd->rpk", table, weights)
    chosen: list[int] = []
    best = np.zeros(utility.shape[1:])
    for _ in range(min(size, len(utility))):
        gains = np.maximum(utility, best).mean(axis=(1, 2))
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        best = np.maximum(best, utility[chosen[-1]])
    return chosen
