"""Search problems by name: the test rows of a vpo task."""

from __future__ import annotations

from typing import Any

from search.problem import Problem, TaskProblem


def get_problems(name: str, **options: Any) -> list[Problem]:
    """Problems by the name of their source.

    Args:
        name: A vpo task: a name of ``vpo.tasks.list_tasks``, a .py file, or a dotted name.
        **options: ``rows`` (how many, 100), ``split`` ("test"), ``num_answers`` (answers of a completion, 1), and
            ``task`` (options of the task itself, a mapping).

    Returns:
        The problems, the same in every call.

    Raises:
        ValueError: There is no such task or option.
    """
    from vpo.answers import AnswerFormat
    from vpo.tasks import get_task

    unknown = set(options) - {"rows", "split", "num_answers", "task"}
    if unknown:
        raise ValueError(
            f"problems of task {name!r} have no option {', '.join(sorted(unknown))}: expected rows, split, num_answers "
            "or task (a mapping with the task's own options)."
        )
    task = get_task(name, **options.get("task", {}))
    num_answers, split = options.get("num_answers", 1), options.get("split", "test")
    answer_format = AnswerFormat(num_answers=num_answers, tag=task.tag)
    rows = task.dataset(split, options.get("rows", 100), num_answers)
    return [TaskProblem(task, row, answer_format, id=f"{name}-{split}-{i}") for i, row in enumerate(rows)]
