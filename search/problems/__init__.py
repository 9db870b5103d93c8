"""Search problems by name: the test rows of a vpo task."""

from __future__ import annotations

from typing import Any

from search.problem import Problem, TaskProblem


def get_problems(name: str, **options: Any) -> list[Problem]:
    """Problems by the name of their source.

    Args:
        name: A vpo task: a name of ``vpo.tasks.list_tasks``, a .py file, or a dotted name.
        **options: ``num_problems`` (32), ``num_answers`` of a completion (3), ``split`` ("test"), and those of the
            task.

    Returns:
        The problems, the same in every call.

    Raises:
        ValueError: There is no such task or option.
    """
    return [*_task_problems(name, **options)]


def _task_problems(
    name: str, *, num_problems: int = 32, num_answers: int = 3, split: str = "test", **options: Any
) -> list[TaskProblem]:
    from vpo.answers import AnswerFormat
    from vpo.tasks import get_task

    task = get_task(name, **options)
    answer_format = AnswerFormat(num_answers=num_answers, tag=task.tag)
    return [TaskProblem(task, row, answer_format) for row in task.dataset(split, num_problems, num_answers)]
