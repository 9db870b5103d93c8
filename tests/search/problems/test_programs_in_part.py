"""Programs measured on some components alone: cases without any of them are not run, the others earn what they earn."""

from __future__ import annotations

import pytest

from search.cascade import Cascade
from search.problems import FunctionProblem, ProgramEvaluator, get_problems
from vpo.sandbox import Limits, Sandbox

FRAGILE = """
def f(n):
    if n == 2:
        raise ValueError("not two")
    return n
"""


class Counting:
    """A sandbox that notes which cases it runs."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.cases = box, []

    def submit(self, job):
        self.cases += list(job.cases)
        return self.box.submit(job)


@pytest.fixture
def counting(box):
    return Counting(box)


def pairs(counting, **options):
    evaluator = ProgramEvaluator(
        "f",
        lambda value, n: [value / 10, float(value == n)],
        cases=[[1], [2], [3], [4]],
        components=[f"{name}_{n}" for n in (1, 2, 3, 4) for name in ("size", "right")],
        limits=Limits(seconds=5.0),
        sandbox=counting,
        **options,
    )
    return FunctionProblem(evaluator, prompt="p", components=evaluator.components, floor=0.0)


def test_only_the_cases_of_the_components_that_are_asked_for_are_run(counting):
    problem = pairs(counting)
    (whole,) = problem.evaluate([FRAGILE])
    assert whole.vector == (0.1, 1, 0, 0, 0.3, 1, 0.4, 1) and problem.num_components == 8
    counting.cases.clear()
    first, second = problem.evaluate_some([FRAGILE, FRAGILE + "# 2"], [[0, 5], [2, 6, 7]])
    assert first.vector == (0.1, 1.0) and counting.cases == [[1], [3], [2], [4]]
    assert second.vector == (0, 0.4, 1) and second.status == "ok" and "not two" in second.artifact
    (failed,) = problem.evaluate_some([FRAGILE], [[2, 3]])
    assert (failed.vector, failed.status) == ((0.0, 0.0), "error")


def test_a_program_that_does_otherwise_the_second_time_is_invalid_on_whatever_it_is_measured(counting):
    problem = pairs(counting, num_repeated=2)
    random = "import random\n\ndef f(n): return random.random()"
    (some,), (whole,) = problem.evaluate_some([random], [[4]]), problem.evaluate([random])
    assert some.status == whole.status == "invalid" and some.vector == (0.0,) and whole.vector == (0.0,) * 8
    assert "did not do the same" in whole.artifact and len(counting.cases) == 2 + 6
    (steady,) = problem.evaluate(["def f(n): return n"])
    assert steady.status == "ok"


def test_lines_are_answered_one_by_one_and_scored_by_their_answers(counting):
    harness = """
def talk(name):
    import os, sys
    os.write(1, b"\\n")
    for line in sys.stdin:
        os.write(1, f"{name}{guess(line.strip())}\\n".encode())
"""
    evaluator = ProgramEvaluator(
        "talk",
        lambda replies, lines, name: sum(r == f"{name}{line}" for r, line in zip(replies, lines, strict=True)),
        cases=[["x"], ["y"]],
        turns=[["a", "b", "c"], ["d"]],
        harness=harness,
        sandbox=counting,
    )
    assert evaluator("def guess(line): return line").vector == (3.0, 1.0)
    quits = evaluator("import os\ndef guess(line):\n    return line if line != 'b' else os._exit(0)")
    assert quits.vector == (0.0, 1.0) and "case_1: error" in quits.artifact


def test_a_cascade_on_a_packaged_problem_stops_at_what_falls_short():
    (problem,) = get_problems("cap_set", dimensions=[1, 2, 3, 4])
    good, bad = problem.seed_program, "def priority(el, n):\n    return 0.0 if el[0] else 1.0 / 0.0"
    cascade = Cascade(problem, share=0.5, bar=0.5)
    found, failed = cascade.evaluate([good, bad])
    assert found == problem.evaluate([good])[0]
    assert failed.status == "error" and failed.vector == (0.0,) * 4
