"""Tasks whose answers need serial computation: a token's answer depends on its left neighbour's.

Attention sees a window of four tokens, so the answer has to travel, loop by loop, as far as the dependency reaches.

* ``a5``: products in the alternating group of five elements, of which four random generators come in as tokens. Every
  token's label is the product so far (60 classes). The group is not solvable, which makes the problem hard for any
  fixed depth (NC1-complete).
* ``addition``: two numbers, least significant digit first, a token being the sum of two digits. A label is the digit of
  the result. Only runs of nines pass a carry on; a sequence's share of nines is drawn from 0.2 to 1, so sequences
  differ in how far information must travel.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW = 4
VOCABULARY = 64
_START = 62


@dataclass(frozen=True)
class Batch:
    """Sequences of one length: a start token, then ``length`` tokens with a label each."""

    ids: Tensor  # (B, length + 1)
    labels: Tensor  # (B, length + 1); the start token's is the neutral answer

    @property
    def mask(self) -> Tensor:
        """(1, 1, T, T) bool, the window of the attention."""
        place = torch.arange(self.ids.shape[1])
        distance = place[:, None] - place[None]
        return ((distance >= 0) & (distance < WINDOW))[None, None]

    @property
    def positions(self) -> Tensor:
        return torch.arange(self.ids.shape[1])[None]


def _even_permutations() -> list[tuple[int, ...]]:
    def is_even(p: tuple[int, ...]) -> bool:
        return sum(p[i] > p[j] for i in range(5) for j in range(i + 1, 5)) % 2 == 0

    return [p for p in itertools.permutations(range(5)) if is_even(p)]


class GroupProduct:
    """``a5``."""

    name = "a5"
    advance_at = 0.85  # accuracy at which training goes on to longer sequences
    ease = 1  # divides the number of training steps

    def __init__(self) -> None:
        group = _even_permutations()
        index = {p: i for i, p in enumerate(group)}
        table = [[index[tuple(p[i] for i in q)] for q in group] for p in group]
        self.table = torch.tensor(table)
        self.identity = index[tuple(range(5))]
        self.generators = torch.randperm(60, generator=torch.Generator().manual_seed(123))[:4]

    def draw(self, rows: int, length: int, generator: torch.Generator) -> Batch:
        tokens = torch.randint(4, (rows, length), generator=generator)
        state, labels = torch.full((rows,), self.identity), [torch.full((rows,), self.identity)]
        for place in range(length):
            state = self.table[state, self.generators[tokens[:, place]]]
            labels.append(state)
        return Batch(torch.cat([torch.full((rows, 1), _START), tokens], 1), torch.stack(labels, 1))


class Addition:
    """``addition``."""

    name = "addition"
    advance_at = 0.97
    ease = 2

    def draw(self, rows: int, length: int, generator: torch.Generator) -> Batch:
        share = 0.2 + 0.8 * torch.rand(rows, 1, generator=generator)
        is_nine = torch.rand(rows, length, generator=generator) < share
        sums = torch.where(is_nine, 9, torch.randint(19, (rows, length), generator=generator))
        carry, labels = torch.zeros(rows, dtype=torch.long), [torch.zeros(rows, dtype=torch.long)]
        for place in range(length):
            total = sums[:, place] + carry
            labels.append(total % 10)
            carry = (total >= 10).long()
        return Batch(torch.cat([torch.full((rows, 1), _START), sums], 1), torch.stack(labels, 1))


TASKS = {task.name: task for task in (GroupProduct, Addition)}
