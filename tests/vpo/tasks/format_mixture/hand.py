"""A problem solved by hand, the task that it belongs to, and problems of any size."""

from __future__ import annotations

from hypothesis import strategies as st

from vpo.tasks.format_mixture import FormatMixtureTask, Problem
from vpo.tasks.format_mixture.problems import Step, problems

HAND = Problem("Ann", "apples", 8, (Step("+", 4, 0), Step("/", 3, 0), Step("-", 1, 1)))
TASK = FormatMixtureTask(num_steps=3)
ROW = TASK.row(HAND, 1)

SIZES = st.tuples(st.integers(1, 4), st.integers(10, 99), st.sampled_from(["+-", "*-", "+-*/", "-+/", "*-/"]))


def problem_of(sizes, seed):
    return next(problems(*sizes, seed=seed))
