"""The reward of word problems, worked out by hand."""

from __future__ import annotations

import itertools

import pytest

from tests.vpo.tasks.format_mixture.hand import HAND, ROW, TASK, problem_of
from vpo.tasks import get_task
from vpo.tasks.check import check_task
from vpo.tasks.format_mixture import FormatMixtureTask, Problem
from vpo.tasks.format_mixture.problems import Step
from vpo.tasks.format_mixture.solutions import FORMATS, write_solution
from vpo.tasks.hostile import hostile_answers


@pytest.mark.parametrize(
    ("answer", "vector"),
    [
        ("def solution ( ) : a = 8 + 4 ; b = a / 3 ; c = b - 1 ; return c", (1, 1, 0)),  # 12, 4, 3: all steps
        ("def solution ( ) : a = ( 8 + 4 ) / 3 - 1 ; return a", (1, 1 / 3, 1)),  # 3 alone
        ("<llm-code> a = ( 8 + 4 ) / 3 ; a - 1 </llm-code>", (1, 2 / 3, 0.5)),  # 4 and 3, in two expressions
        ("def solution ( ) : a = 8 + 4 ; b = a / 3 ; c = b + 1 ; return c", (0, 2 / 3, 0)),  # 12, 4, then 5
        ("first 8 + 4 = 12 . then 12 / 3 = 5 . the answer is 5 .", (0, 1 / 3, 0)),
        ("the answer is 3 .", (1, 0, 1)),  # right, and nothing shown
        ("the answer is 4 .", (0, 0, 0)),
        ("8 + 4 = 12 . 12 / 3 = 4 . 4 - 1 = 3 .", (0, 0, 0)),  # no answer is given
        ("4 = 4 , 12 = 12 , 3 = 3 . the answer is 3 .", (1, 2 / 3, 0)),  # out of order: 12 and 3, or 4 and 3
        ("def solution ( ) : return 3", (1, 0, 1)),
        (" ".join(f"0 + {i} = {i} ," for i in range(1, 30)) + " the answer is 3", (1, 1 / 29, 0)),  # 12 of 29; 4, 3 too
        ("", (0, 0, 0)),
        ("def solution ( ) : a = 8 + ; return a", (0, 0, 0)),
    ],
)  # fmt: skip
def test_rewards_by_hand(answer, vector):
    assert TASK.score(answer, ROW) == pytest.approx(vector)


def test_with_one_step_there_is_one_thing_to_earn():
    task = FormatMixtureTask(num_steps=1)
    problem = Problem("Ben", "pens", 5, (Step("-", 2, 0),))
    row = task.row(problem, 1)
    assert task.score(task.reference(row), row) == (1, 1, 1)
    assert task.score("the answer is 4", row) == (0, 0, 0)
    assert task.front(problem) == [(1, 1, 1)]
    assert TASK.reference(ROW) is None


@pytest.mark.parametrize("num_steps", [2, 3, 4])
def test_the_front_is_what_the_ways_of_grouping_steps_earn(num_steps):
    task = FormatMixtureTask(num_steps=num_steps)
    problem = next(task.examples("train"))
    row = task.row(problem, 1)
    start, operations = str(problem.start), [f"{step.operator} {step.operand}" for step in problem.steps]
    vectors = set()
    for cuts in itertools.product((False, True), repeat=num_steps - 1):  # after which steps an expression ends
        expression, body = start, []
        for operation, is_cut in zip(operations, (*cuts, True), strict=True):
            expression = f"( {expression} ) {operation}"
            if is_cut:
                body.append(f"x = {expression}")
                expression = "x"
        vectors.add(task.score("def solution ( ) : " + " ; ".join([*body, "return x"]), row))
    assert {tuple(map(float, v)) for v in task.front(problem)} == {tuple(map(float, v)) for v in vectors}


def test_the_reward_does_not_look_at_the_format():
    for number, (layout, is_compact) in enumerate(itertools.product(("words", "text"), (False, True))):
        problem = problem_of((3, 20, "+-*/"), number)
        row = TASK.row(problem, 1)
        assert len({TASK.score(write_solution(problem, form, layout, is_compact), row) for form in FORMATS}) == 1


@pytest.mark.parametrize("wording", ["words", "chat"])
def test_the_task_is_fit_and_survives_every_hostile_answer(wording):
    task = get_task("format_mixture", wording=wording, error_rates={"prose": 0.5, "python": 0.5, "tagged": 0.5})
    rows = list(task.dataset("train", 12, 1))
    report = check_task(task, rows)
    assert report.failures == [] and report.measured_on == "attempts"
    assert report.geometry.verdict == "vector"
    for answer in hostile_answers(task.tag, [write_solution(HAND, form) for form in FORMATS]).values():
        assert task.label(answer, rows[0]) in (*FORMATS, "empty", "other")
