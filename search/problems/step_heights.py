"""Problems in which a program writes the heights of a step function, and a constant is to become small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.problems.open_problem import BestKnown, OpenProblem, Setting, check_sizes, only_last
from search.problems.programs import ProgramEvaluator


def step_heights_problem(
    name: str,
    component: str,
    setting: Setting,
    sizes: int | Sequence[int],
    *,
    least: int,
    statement: str,
    seed_program: str,
    constant: Callable[[Any, int], float],
    best: float,
    source: str,
    references: Mapping[str, float],
) -> OpenProblem:
    """A problem with a component for each number of steps: best known C / C. w* is the largest size's.

    Args:
        name: Of the problem.
        component: Of a component, before its size.
        setting: How it is asked and run.
        sizes: Numbers of steps, ``least`` to 2000.
        least: Fewest steps that make sense.
        statement: With ``{sizes}`` and ``{best}``.
        seed_program: Defines ``step_heights(n)``.
        constant: ``constant(value, n)``: C of what the program returned; ValueError if that is no such function.
        best: Smallest C known.
        source: Where ``best`` comes from.
        references: Name of a construction -> its C.
    """
    numbers = check_sizes(sizes, least, 2000, "sizes")
    shown = ", ".join(map(str, numbers))
    return OpenProblem(
        name=name,
        statement=statement.format(sizes=shown, best=best),
        seed_program=seed_program,
        evaluator=ProgramEvaluator(
            "step_heights",
            lambda value, n: best / constant(value, n),
            cases=[[n] for n in numbers],
            components=[f"{component}_{n}" for n in numbers],
            limits=setting.limits,
            sandbox=setting.sandbox,
        ),
        w_star=only_last(len(numbers)),
        best_known=BestKnown(scalar=1.0, source=source),
        references={reference: best / c for reference, c in references.items()},
        setting=setting,
        id=f"{name}-{shown.replace(', ', '-')}",
    )
