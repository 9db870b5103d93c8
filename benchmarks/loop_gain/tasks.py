"""The two tasks of `serial_depth/tasks.py`, with a difficulty for every token.

* ``addition``: attention sees a window of four tokens, so each layer carries information three tokens on. A token's
  difficulty is how far back its carry was decided: to the last sum that is not nine, or to the start. Long runs of
  nines are rare, and most begin at the start, where there is no carry to know of. So the test counts the last token of
  each sequence, decided by a digit and not by the start, as many of every stratum: who knows no carry is right in half.
* ``a5``: every token sees all before it, and the products are serial because the group is. Difficulty is the number of
  factors, and the test counts every token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from serial_depth.tasks import TASKS, WINDOW, Addition, Batch, GroupProduct
from torch import Tensor

#: Task -> first and last difficulty of each stratum, easiest first.
STRATA = {
    "addition": ((1, 3), (4, 6), (7, 9), (10, 11)),  # each as wide as what a layer of the window reaches
    "a5": ((1, 2), (3, 4), (5, 6), (7, 8)),
}
WINDOWS = {"addition": WINDOW, "a5": None}
LONGEST = {"addition": 12, "a5": 8}


@dataclass(frozen=True)
class Work:
    """Sequences of one length with the mask that the task's attention has."""

    ids: Tensor  # (B, T), a start token first
    labels: Tensor  # (B, T)
    mask: Tensor  # (1, 1, T, T) bool
    counts: Tensor | None = None  # (B, T) bool, tokens that a test counts


def draw(name: str, rows: int, length: int, generator: torch.Generator) -> Work:
    task: Addition | GroupProduct = TASKS[name]()
    batch: Batch = task.draw(rows, length, generator)
    return Work(batch.ids, batch.labels, mask(length + 1, WINDOWS[name]))


def draw_test(name: str, rows: int, seed: int) -> Work:
    """Sequences of the longest length, and which of their tokens count.

    Args:
        name: The task.
        rows: Sequences; of addition, a fourth in each stratum.
        seed: Of the sequences.
    """
    generator = torch.Generator().manual_seed(seed)
    length, strata = LONGEST[name], STRATA[name]
    work = draw(name, rows if name == "a5" else 80 * rows, length, generator)
    counts = torch.ones_like(work.ids, dtype=torch.bool)
    counts[:, 0] = False
    if name == "a5":
        return Work(work.ids, work.labels, work.mask, counts)
    last = difficulty(name, work.ids)[:, -1]
    chosen = [((last >= low) & (last <= high)).nonzero()[: rows // len(strata), 0] for low, high in strata]
    if min(map(len, chosen)) < rows // len(strata):
        raise ValueError(f"{[len(each) for each in chosen]} sequences a stratum: expected {rows // len(strata)} each.")
    counts[:, :-1] = False
    kept = torch.cat(chosen)
    return Work(work.ids[kept], work.labels[kept], work.mask, counts[kept])


def mask(length: int, window: int | None) -> Tensor:
    """(1, 1, T, T): who is seen; all before and itself, or the last ``window`` of these."""
    place = torch.arange(length)
    distance = place[:, None] - place
    return ((distance >= 0) & (distance < (window or length)))[None, None]


def difficulty(name: str, ids: Tensor) -> Tensor:
    """(B, T - 1) of the tokens after the start: how far back the answer was decided."""
    place = torch.arange(ids.shape[1]).expand_as(ids)
    if name == "a5":
        return place[:, 1:]
    decides = torch.where((ids != 9) | (place == 0), place, 0)
    return place[:, 1:] - decides.cummax(1).values[:, :-1]
