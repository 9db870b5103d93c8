"""Tasks with vector rewards, found by name: prompts, reward components and the scalar w*."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from vpo.tasks.own import own_task, task
from vpo.tasks.protocol import Task

__all__ = ["Task", "get_task", "list_tasks", "task"]

HOME = {
    "maze": ("vpo.tasks.maze", "MazeTask"),
    "knapsack": ("vpo.tasks.knapsack", "KnapsackTask"),
    "musique": ("vpo.tasks.musique", "MusiqueTask"),
    "eureqa": ("vpo.tasks.eureqa", "EureqaTask"),
    "toolrl": ("vpo.tasks.toolrl", "ToolRLTask"),
    "code": ("vpo.tasks.code", "CodeTask"),
    "format_mixture": ("vpo.tasks.format_mixture", "FormatMixtureTask"),
    "reasoning_gym": ("vpo.tasks.reasoning_gym", "ReasoningGymTask"),
}


def list_tasks() -> tuple[str, ...]:
    """Names of the tasks of this package."""
    return tuple(HOME)


def get_task(name: str, **options: Any) -> Any:
    """Task called ``name``, built with ``options``.

    Args:
        name: One of `list_tasks`; ``reasoning_gym:GENERATOR``; or a task of one's own: a .py file with one function
            under `task`, or a dotted name.
        **options: Of the task; `path` for most, which reads local files instead of the hub.

    Returns:
        The task, a `Task`.

    Raises:
        ValueError: No task has that name, or it has no such option.
    """
    family, _, member = name.partition(":")
    if family == "reasoning_gym" and (member or ":" not in name):
        if "generator" in options:
            raise ValueError("generator is given as an option: expected it in the name, as reasoning_gym:countdown.")
        name, options = family, {"generator": member or None, **options}
    if name in HOME:
        home, kind = HOME[name]
        build = getattr(import_module(home), kind)
        try:
            return build(**options)
        except TypeError as error:
            known = ", ".join(inspect.signature(build).parameters)
            raise ValueError(f"task {name!r} has not these options: {error}. Expected some of {known}.") from error
    if "." not in name:
        raise ValueError(
            f"there is no task {name!r}: known tasks are {', '.join(map(repr, HOME))}. Of your own: a .py file, or "
            "a dotted name."
        )
    return own_task(name, **options)
