"""What an answer is worth that has not read its question, and whether the questions have the answers they are given."""

from __future__ import annotations

import itertools

import torch
from halting.block import Block, states
from halting.mazes import neighbour
from halting.sudoku import Boxes, solve
from halting.tasks import UNLABELLED, Batch, Task
from serial_depth.tasks import TASKS as SERIAL
from torch import Tensor


def shares(answers: Tensor, labels: Tensor) -> dict[str, float]:
    """Share of tokens and of instances that are right."""
    asked = labels != UNLABELLED
    right = (answers == labels) & asked
    return {
        "tokens": right.sum().item() / asked.sum().item(),
        "instances": (right | ~asked).all(1).float().mean().item(),
    }


def majority(train: Batch, test: Batch) -> dict[str, float]:
    """The commonest label of each place in training: the best that a model without input can learn."""
    asked = train.labels != UNLABELLED
    counts = torch.zeros(train.labels.shape[1], int(train.labels.max()) + 1)
    places = torch.arange(train.labels.shape[1]).expand_as(train.labels)
    counts.index_put_((places[asked], train.labels[asked]), torch.ones(int(asked.sum())), accumulate=True)
    return shares(counts.argmax(1).expand_as(test.labels), test.labels)


@torch.no_grad()
def answers(model: Block, task: Task, batch: Batch, cap: int) -> Tensor:
    *_, last = states(model, batch, task.sees(batch.size), cap)
    return model.read(last).argmax(-1)


def controls(
    task: Task, model: Block, untrained: Block, train: Batch, test: Batch, cap: int
) -> dict[str, dict[str, float]]:
    """Blind answers beside the model's; ``train`` and ``test`` are of one size."""
    given = answers(model, task, test, cap)
    return {
        "model": shares(given, test.labels),
        "majority by place": majority(train, test),
        "answers of the next instance": shares(given.roll(1, 0), test.labels),
        "untrained model": shares(answers(untrained, task, test, cap), test.labels),
        "solver": shares(torch.stack([oracle(task.name, ids, test.size) for ids in test.ids]), test.labels),
    }


def oracle(name: str, ids: Tensor, size: int) -> Tensor:
    """(T,) the answer, found from the tokens alone and by another way than the one that made the instance.

    Raises:
        ValueError: The instance has no answer, or several.
    """
    if name.startswith("sudoku"):
        boxes = {4: Boxes(2, 2), 6: Boxes(2, 3)}[size]
        solutions = solve(boxes, tuple(ids.tolist())).solutions
        if len(solutions) != 1:
            raise ValueError(f"{ids.tolist()} has {len(solutions)} solutions or more: expected one.")
        return torch.tensor(solutions[0]) - 1
    by_name = {"maze": lambda tokens: _fill_dead_ends(tokens, size), "addition": _add, "a5": _compose}
    return by_name[name](ids.tolist())


def _fill_dead_ends(tokens: list[int], size: int) -> Tensor:
    """Close cells with one way out, unless start or goal, until none is left."""
    kept, changed = set(range(size**2)), True
    while changed:
        changed = False
        for cell in sorted(kept):
            ways = [neighbour(cell, side, size) for side in range(4) if tokens[cell] // 3 >> side & 1]
            if tokens[cell] % 3 == 0 and sum(other in kept for other in ways) <= 1:
                kept.remove(cell)
                changed = True
    return torch.tensor([int(cell in kept) for cell in range(size**2)])


def _compose(tokens: list[int]) -> Tensor:
    """Products in A5 by composing the permutations themselves, without the table."""
    pairs = list(itertools.combinations(range(5), 2))
    even = [p for p in itertools.permutations(range(5)) if sum(p[i] > p[j] for i, j in pairs) % 2 == 0]
    generators = [even[int(g)] for g in SERIAL["a5"]().generators]
    product = tuple(range(5))
    found = [even.index(product)]
    for token in tokens[1:]:
        product = tuple(product[i] for i in generators[token])
        found.append(even.index(product))
    return torch.tensor(found)


def _add(tokens: list[int]) -> Tensor:
    """Digits of the sum, as one whole number; the start token's is 0."""
    total = sum(digits * 10**place for place, digits in enumerate(tokens[1:]))
    return torch.tensor([0] + [total // 10**place % 10 for place in range(len(tokens) - 1)])
