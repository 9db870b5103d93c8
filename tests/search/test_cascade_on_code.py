"""A cascade on the code task: only the tests that are asked for are run, and a search through it is one as ever."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from search.budget import Budget
from search.cascade import Cascade
from search.driver import run_search
from search.ledger import read_results
from search.problem import TaskProblem
from search.problems import get_problems
from search.procedures import BestOfN
from search.replay import replay_search
from search.samplers import ScriptedSampler
from tests.vpo.tasks import inline_runner
from vpo.answers import AnswerFormat
from vpo.cli.app import main
from vpo.sandbox import Limits, NotEnforced, Sandbox
from vpo.tasks.code import sandboxed

NUM_TESTS = 8
WEAK = "print(7)"
PARTLY = "n = int(input())\nprint(n * n if n < 104 else 0)"
STRONG = "n = int(input())\nprint(n * n)"
PROGRAMS = [WEAK, PARTLY, STRONG, "print(int(input()) + 1)", "raise SystemExit(1)", "n = int(input()"]


def write_data(folder: Path) -> str:
    pairs = [{"input": f"{n}\n", "output": f"{n * n}\n"} for n in range(100, 100 + NUM_TESTS)]
    rows = [{"problem": "Square a number.", "tests": json.dumps(pairs), "solutions": [STRONG]}]
    path = folder / "test.json"
    path.write_text(json.dumps(rows))
    return str(folder)


class CountingRunner:
    """Runs programs in the real sandbox and counts the tests."""

    def __init__(self, box: Sandbox) -> None:
        self.box, self.ran = box, []

    def run(self, code, tests):
        self.ran += [(code, test.input) for test in tests]
        return sandboxed.run_in(self.box, code, tests)


@pytest.fixture(scope="module")
def box():
    try:
        sandbox = Sandbox(2, Limits(seconds=5.0))
    except NotEnforced as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox


@pytest.fixture
def runner(box):
    return CountingRunner(box)


def code_problem(folder, runner, num_answers=1):
    (problem,) = get_problems("code", path=write_data(folder), num_answers=num_answers, runner=runner, max_tests=10)
    return problem


def fenced(program):
    return f"```python\n{program}\n```"


def test_only_the_tests_that_are_asked_for_are_run_and_agree_with_the_whole_evaluation(tmp_path, runner):
    problem = code_problem(tmp_path, runner)
    assert problem.num_components == NUM_TESTS and not runner.ran
    answers = [fenced(program) for program in PROGRAMS]
    whole = problem.evaluate(answers)
    runner.ran.clear()
    rng = random.Random(0)
    asked = [sorted(rng.sample(range(NUM_TESTS), rng.randint(1, NUM_TESTS))) for _ in answers]
    some = problem.evaluate_some(answers, asked)
    for found, components, full in zip(some, asked, whole, strict=True):
        assert found.vector == tuple(full.vector[c] for c in components)
    wanted = {(p, f"{100 + c}\n") for p, components in zip(PROGRAMS, asked, strict=True) for c in components}
    assert len(runner.ran) == len(wanted) and set(runner.ran) == wanted


def test_cascaded_rows_agree_with_the_whole_evaluation_on_what_was_measured(tmp_path, runner):
    problem = code_problem(tmp_path, runner)
    cascade = Cascade(problem, share=0.25, bar=0.5)
    answers = [fenced(program) for program in PROGRAMS]
    whole = problem.evaluate(answers)
    num_whole = len(runner.ran)
    runner.ran.clear()
    for answer, found, full in zip(answers, cascade.evaluate(answers), whole, strict=True):
        first = cascade.first_stage(answer)
        assert all(found.vector[c] == full.vector[c] for c in first)
        if found.status == "ok":
            assert found.vector == full.vector
        else:
            assert found.status == "screened" and not any(found.vector[c] for c in range(NUM_TESTS) if c not in first)
            assert "fails" in found.artifact and "on 2 of 8 components" in found.artifact
    assert len(runner.ran) < 0.7 * num_whole
    assert len(runner.ran) == len(set(runner.ran))  # the second stage runs nothing again


def scripted():
    def script(prompt, prefix, seed):
        rng = random.Random(seed)
        return fenced(f"{rng.choices(PROGRAMS, [4, 1, 1, 3, 3, 3])[0]}  # {rng.randrange(40)}")

    return ScriptedSampler(script)


def test_search_through_a_cascade_runs_fewer_tests_resumes_and_replays(tmp_path, box):
    def search(runner, wrapped, ledger, num=24):
        problem = code_problem(tmp_path, runner)
        problem = Cascade(problem, bar=0.5) if wrapped else problem
        (found,) = run_search(
            [problem], lambda p: BestOfN(), scripted(), Budget(max_answers=num), ledger_path=tmp_path / ledger
        )
        return problem, found

    plain_runner, runner, again = CountingRunner(box), CountingRunner(box), CountingRunner(box)
    _, plain = search(plain_runner, False, "plain")
    _, found = search(runner, True, "cascade")
    assert found.best == plain.best and plain.best[-1] == 1.0
    assert len(runner.ran) < 0.7 * len(plain_runner.ran)
    lines = (tmp_path / "cascade").read_text().splitlines()
    kept = len(lines) - 7
    (tmp_path / "torn").write_text("\n".join(lines[:kept]) + "\n")
    problem, resumed = search(again, True, "torn")
    assert resumed == found and 0 < len(again.ran) < len(runner.ran)
    replayed = replay_search([problem], lambda p: BestOfN(), tmp_path / "cascade", evaluate=True)
    assert replayed.results == [found] and not replayed.differences and replayed.num_evaluated > 10


def test_cascade_of_a_file_runs_resumes_and_replays_with_the_command_line(tmp_path, capsys, box):
    config = {
        "problem": {"name": "code", "path": write_data(tmp_path), "num_answers": 1, "max_tests": 10},
        "sampler": "tests.search.test_cascade_on_code:scripted",
        "procedure": "best_of_n",
        "budget": {"max_answers": 12},
        "sampling": {"max_new_tokens": 100},
        "cascade": {"share": 0.25, "bar": 0.5, "floor": -0.125},
        "out": str(tmp_path / "out"),
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["search", "run", str(path)]) == 0
    assert main(["search", "replay", str(tmp_path / "out"), "--trust", "--evaluate"]) == 0
    assert "0 differences" in capsys.readouterr().out
    (found,) = read_results(tmp_path / "out" / "ledger.jsonl")
    screened = [each for each in found.candidates if each.status == "screened"]
    assert screened and all(each.vector.count(-0.125) == 6 for each in screened)


def test_a_component_is_one_of_those_that_apply_whatever_its_place_in_the_task():
    class Holes:
        w_star = (0.25,) * 4

        def score(self, answer, row):
            return (None, 0.1, None, 0.3)

        def score_some(self, answer, row, components):
            assert all(c in (1, 3) for c in components)
            return [c / 10 for c in components]

        def feedback(self, answer, row, vector):
            return str(vector)

    problem = TaskProblem(Holes(), {"prompt": "p"}, AnswerFormat())
    (first, second) = problem.evaluate_some(["a", "b"], [[1], [0, 1]])
    assert problem.num_components == 2 and (first.vector, second.vector) == ((0.3,), (0.1, 0.3))
    assert first.artifact == "[None, None, None, 0.3]"


def test_the_seam_is_that_of_any_runner(tmp_path):
    problem = code_problem(tmp_path, inline_runner.run)
    (found,) = problem.evaluate_some([fenced(PARTLY)], [[1, 7]])
    assert found.vector == (1.0, 0.0) and "Its input:\n107" in found.artifact
