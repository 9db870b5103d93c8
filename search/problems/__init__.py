"""Problems by name: for now, the rows of vpo tasks."""

from __future__ import annotations

from typing import Any

from search.problem import Problem, TaskProblem
from vpo.answers import AnswerFormat
from vpo.tasks import get_task


def get_problems(
    name: str,
    *,
    num_problems: int = 32,
    num_answers: int = 3,
    split: str = "test",
    seed: int | None = None,
    **options: Any,
) -> list[Problem]:
    """Problems of a vpo task, one for each row.

    Args:
        name: As for `vpo.tasks.get_task`.
        num_problems: Rows wanted.
        num_answers: Answers of a completion.
        split: "test" or "train".
        seed: Which rows; None for the task's own choice.
        **options: Of the task.

    Raises:
        ValueError: No task has that name, or it has no such option.
    """
    task = get_task(name, **options)
    own = getattr(task, "answer_format", None)
    answer_format = own(num_answers) if own is not None else AnswerFormat(num_answers=num_answers, tag=task.tag)
    problems: dict[str, Problem] = {}
    for row in task.dataset(split, num_problems, num_answers, seed):
        asked = row if hasattr(task, "vocabulary") else {**row, "prompt": answer_format.ask(row["prompt"])}
        problem = TaskProblem(task, asked, answer_format)
        problems.setdefault(problem.id, problem)
    return list(problems.values())
