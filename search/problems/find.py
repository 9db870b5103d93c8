"""Problems by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from search.problems.failing_tests import failing_tests
from search.problems.open_problem import Setting
from vpo.answers import AnswerFormat
from vpo.tasks import get_task, list_tasks

if TYPE_CHECKING:
    from search.problem import Problem, TaskProblem

# name -> (module, function, options that the name stands for)
OPEN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "circle_packing": ("circle_packing", "circle_packing", {}),
    "heilbronn_triangle": ("heilbronn", "heilbronn", {"region": "triangle"}),
    "heilbronn_convex": ("heilbronn", "heilbronn", {"region": "convex"}),
    "minimum_overlap": ("minimum_overlap", "minimum_overlap", {}),
    "autocorrelation": ("autocorrelation", "autocorrelation", {}),
    "cap_set": ("cap_set", "cap_set", {}),
    "bin_packing_or3": ("bin_packing", "bin_packing", {"instances": "or3"}),
    "bin_packing_weibull_5k": ("bin_packing", "bin_packing", {"instances": "weibull_5k"}),
}
RUNNER = "vpo.tasks.code.sandboxed.run"
"""What runs the programs of the code task, unless its options say otherwise."""


def list_problems() -> tuple[str, ...]:
    """Names that `get_problems` knows; besides, it takes tasks of one's own by file or dotted name."""
    return (*OPEN, "openevolve", *list_tasks())


def get_problems(name: str, **options: Any) -> list[Problem]:
    """Problems called ``name``.

    Args:
        name: An open problem (one), ``openevolve`` (one, of a ``folder``), or a vpo task, which gives a problem for
            each row of a split: a built-in one, a .py file, or a dotted name.
        **options: Of an open problem: those of `Setting` (``num_answers``, ``chat``, ...) and its own, such as
            ``sizes``. Of ``openevolve``: those of `openevolve_problem`. Of a task: those of `task_problems`
            (``num_problems``, ``num_answers``, ...) and, as for `vpo.tasks.get_task`, its own, such as ``path``.

    Raises:
        ValueError: No problem has that name, or it has no such option.
    """
    if name in OPEN:
        return [_open_problem(name, options)]
    if name == "openevolve":
        from search.problems.openevolve import openevolve_problem

        _check_options(name, openevolve_problem, options)
        return [openevolve_problem(**options)]
    if name.partition(":")[0] in list_tasks() or "." in name:  # reasoning_gym:countdown
        return [*task_problems(name, **options)]
    raise ValueError(
        f"there is no problem {name!r}: known are {', '.join(list_problems())}. Of your own: FunctionProblem, or a "
        "task (a .py file, or a dotted name)."
    )


def task_problems(
    name: str,
    *,
    num_problems: int = 32,
    num_answers: int = 3,
    split: str = "test",
    seed: int | None = None,
    ask_for_answers: bool | None = None,
    **options: Any,
) -> list[TaskProblem]:
    """Rows of a vpo task as problems.

    Args:
        name: As for `vpo.tasks.get_task`.
        num_problems: Rows wanted; tasks that read their rows may have fewer. Rows of one prompt are one problem.
        num_answers: m answers a completion.
        split: "test" or "train".
        seed: Which rows; None for the task's own choice.
        ask_for_answers: Whether prompts get the request for m tagged answers, as the trainer's option of that name;
            None for yes, unless the prompts are the words of a task with a vocabulary of its own.
        **options: Of the task. The code task runs programs in the sandbox unless ``runner`` says otherwise.
    """
    from search.problem import TaskProblem

    feedback = None
    if name == "code":
        options.setdefault("runner", RUNNER)
        feedback = failing_tests
    task = get_task(name, **options)
    own = getattr(task, "answer_format", None)
    answer_format = own(num_answers) if own is not None else AnswerFormat(num_answers=num_answers, tag=task.tag)
    problems: dict[str, TaskProblem] = {}
    for row in task.dataset(split, num_problems, num_answers, seed):
        ask = ask_for_answers
        if ask is None:
            ask = not (isinstance(row["prompt"], str) and hasattr(task, "vocabulary"))
        asked = {**row, "prompt": answer_format.ask(row["prompt"])} if ask else row
        problem = TaskProblem(task, asked, answer_format, feedback=feedback)
        problems.setdefault(problem.id, problem)
    return list(problems.values())


def _open_problem(name: str, options: dict[str, Any]) -> Problem:
    module, function, given = OPEN[name]
    build: Callable[..., Problem] = getattr(import_module(f"search.problems.{module}"), function)
    shared = {field.name for field in fields(Setting)}
    own = {key: value for key, value in options.items() if key not in shared}
    known = {*inspect.signature(build).parameters, *shared} - {"setting", *given}
    if unknown := own.keys() - known:
        raise ValueError(f"problem {name!r} has no option {sorted(unknown)}: expected {', '.join(sorted(known))}.")
    setting = Setting(**{key: value for key, value in options.items() if key in shared})
    return build(setting, **given, **own)


def _check_options(name: str, build: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        inspect.signature(build).bind(**options)
    except TypeError as error:
        known = ", ".join(inspect.signature(build).parameters)
        raise ValueError(f"problem {name!r} cannot be built: {error}. Expected options out of {known}.") from error
