"""Generators that the tests go through, answers that earn nothing, and rows made in this process."""

from __future__ import annotations

from vpo.tasks import get_task
from vpo.tasks.reasoning_gym.entries import pack, stream
from vpo.tasks.reasoning_gym.generators import known_generators

# 0.6 s an item, and a config without a default.
SLOW, NO_DEFAULT, REFUSED = {"knight_swap"}, {"composite"}, {"coin_flip", "game_of_life_halting"}
GENERATORS = [name for name in known_generators() if name not in SLOW | NO_DEFAULT | REFUSED]
WITHOUT_REFERENCE = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
GARBAGE = [
    "", "garbage", "<answer></answer>", "<answer>garbage</answer>", "<answer>null</answer>", "<answer>0</answer>",
    "<answer>[[1, 2], {}]</answer>", "<answer>" + "9" * 5_000 + "</answer>", "<answer>" + "[" * 900 + "</answer>",
    "<answer>\ud800\x00</answer>", "<answer>1e999</answer>", "</answer><answer>", "<answer>-1/0</answer>",
]  # fmt: skip


def rows(name, size, **options):
    """Rows made in this process, which is faster than `dataset` where that takes another one."""
    task = get_task(f"reasoning_gym:{name}", **options)
    found = stream(name, task.config, "train", 0)
    return task, [
        {"answer": entry["answer"], "entry": pack(entry)} for entry, _ in zip(found, range(size), strict=False)
    ]
