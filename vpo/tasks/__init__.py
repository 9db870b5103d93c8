"""Tasks with vector rewards, found by name: prompts, reward components and the scalar w*."""

from __future__ import annotations

from typing import Any


def get_task(name: str, **options: Any) -> Any:
    """Task called ``name``, built with ``options``.

    Raises:
        ValueError: No task has that name.
    """
    if name == "maze":
        from vpo.tasks.maze import MazeTask

        return MazeTask(**options)
    if name == "knapsack":
        from vpo.tasks.knapsack import KnapsackTask

        return KnapsackTask(**options)
    raise ValueError(f"there is no task {name!r}: known tasks are 'maze' and 'knapsack'.")
