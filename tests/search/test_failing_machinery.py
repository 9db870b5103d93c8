"""Machinery that fails is tried again: what failed alone, so many times, with the search none the wiser."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from search.cascade import Cascade
from search.driver import GaveUpError
from search.evaluator_pool import timed_evaluate
from search.ledger import read_results
from search.problem import TaskProblem
from search.problems import FunctionProblem, ProgramEvaluator, openevolve_problem
from search.procedures import Evolution
from search.replay import replay_search
from search.retry import Backoff
from tests.search.failing_machinery import Flaky, search
from tests.search.streaming import StreamingScript
from tests.search.toy_problem import ToyProblem, toy_sampler
from vpo.answers import AnswerFormat
from vpo.infrastructure import InfrastructureError
from vpo.sandbox import Limits, Sandbox
from vpo.sandbox.job import Result

ROOT = Path(__file__).parents[2]
DRIVERS = ["rounds", "overlap", "stream"]


def rows(path, *kinds):
    found = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [{k: v for k, v in row.items() if k != "wall"} for row in found if row["kind"] in kinds]


def some(answer):
    return answer.startswith("2")


@pytest.mark.parametrize("evaluators", [1, 3])
@pytest.mark.parametrize("driver", DRIVERS)
def test_what_fails_twice_and_then_works_leaves_no_trace_in_what_is_found(tmp_path, driver, evaluators):
    problem = Flaky(fails=lambda answer, tries: some(answer) and tries < 2)
    found = search(problem, driver=driver, path=tmp_path / "flaky", evaluators=evaluators)
    assert found == search(ToyProblem("toy-0"), driver=driver, path=tmp_path / "plain")
    assert max(Counter(problem.evaluated).values()) == 1, "an answer was evaluated twice"
    tries = {answer: 3 if some(answer) else 1 for answer in problem.tries}
    assert problem.tries == tries and 3 in tries.values() and 1 in tries.values()
    kinds = ("generation", "evaluation")
    order = lambda row: (row["number"], row["kind"])  # noqa: E731
    assert sorted(rows(tmp_path / "flaky", *kinds), key=order) == sorted(rows(tmp_path / "plain", *kinds), key=order)
    partial = [each["answer"] for row in rows(tmp_path / "flaky", "partial") for each in row["answers"]]
    assert partial and not any(map(some, partial)) and len(partial) == len(set(partial))
    again = replay_search([Flaky()], lambda p: Evolution(p.vary), tmp_path / "flaky", evaluate=True)
    assert again.results == found == read_results(tmp_path / "flaky") and not again.differences


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_run_that_gives_up_says_why_keeps_what_it_has_and_goes_on_when_things_work(tmp_path, driver):
    path = tmp_path / "run.jsonl"
    broken = Flaky(fails=lambda answer, _: some(answer))
    with pytest.raises(GaveUpError) as caught:
        search(broken, driver=driver, path=path, retry=Backoff(max_retries=2, first_s=0.0, longest_s=0.0))
    said = str(caught.value)
    assert "failed 3 times through no fault of the answers" in said and "the worker of '2" in said
    assert "run.jsonl holds them all. The same call again goes on from there" in said
    assert isinstance(caught.value.__cause__, InfrastructureError)
    assert max(broken.tries[answer] for answer in broken.tries if some(answer)) == 3
    mended = Flaky()
    assert search(mended, driver=driver, path=path) == search(ToyProblem("toy-0"), driver=driver)
    assert not set(mended.evaluated) & set(broken.evaluated), "what had been evaluated was evaluated again"


def test_a_problem_that_keeps_nothing_is_tried_again_as_a_whole():
    problem = Flaky(fails=lambda answer, tries: some(answer) and tries < 1, keeps=False)
    assert search(problem) == search(ToyProblem("toy-0"))

    class Refused(ToyProblem):
        left = 2

        def evaluate(self, answers):
            self.left -= 1
            if self.left >= 0:
                raise ConnectionRefusedError("no judge there")
            return super().evaluate(answers)

    assert search(Refused("toy-0"), driver="rounds") == search(ToyProblem("toy-0"), driver="rounds")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_sampler_that_is_away_for_a_while_is_asked_again(driver):
    scripted = toy_sampler(ToyProblem("toy-0"))
    failed = []

    def before(request):
        if failed.count(request.id) < 2:
            failed.append(request.id)
            raise ConnectionResetError("the server is away")

    class Away:
        def sample(self, requests):
            before(requests[0])
            return scripted.sample(requests)

        def describe(self):
            return scripted.describe() if hasattr(scripted, "describe") else {"name": "ScriptedSampler"}

    sampler = StreamingScript(scripted, disorder=0, before=before) if driver == "stream" else Away()
    found = search(ToyProblem("toy-0"), driver=driver, sampler=sampler)
    assert found == search(ToyProblem("toy-0"), driver=driver) and len(failed) >= 10
    with pytest.raises(GaveUpError, match=r"(sample|generate) failed 1 times .* the last time with ConnectionReset"):
        failed.clear()
        search(ToyProblem("toy-0"), driver=driver, sampler=sampler, retry=Backoff(max_retries=0))


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_run_that_is_killed_while_it_waits_has_lost_nothing(tmp_path, driver):
    command = [sys.executable, "-m", "tests.search.failing_machinery", str(tmp_path), driver]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    before = (tmp_path / "evaluated.txt").read_text().splitlines()
    assert before and rows(tmp_path / "run.jsonl", "partial")
    mended = Flaky()
    assert search(mended, driver=driver, path=tmp_path / "run.jsonl") == search(ToyProblem("toy-0"), driver=driver)
    assert not set(before) & set(mended.evaluated)


def test_ctrl_c_during_a_long_wait_ends_at_once(tmp_path):
    class Slow(Backoff):
        def wait_s(self, attempt, retry_after_s, rng):
            signal.raise_signal(signal.SIGINT)
            return 60.0

    for driver in ("rounds", "stream"):
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            search(Flaky(fails=lambda answer, _: some(answer)), driver=driver, path=tmp_path / driver, retry=Slow())
        assert time.monotonic() - started < 10
        assert search(Flaky(), driver=driver, path=tmp_path / driver) == search(ToyProblem("toy-0"), driver=driver)


def test_failures_travel_from_other_processes():
    error = pickle.loads(pickle.dumps(InfrastructureError("lost", [None, (1.0,)])))
    assert (str(error), error.found) == ("lost", (None, (1.0,)))
    with ProcessPoolExecutor(1) as pool:
        tried = pool.submit(timed_evaluate, FunctionProblem(lost_on_b, prompt="p", id="p"), ["a", "b"]).result()
    assert tried.found[1] is None and tried.found[0].vector == (1.0,) and "gone" in str(tried.error)


def lost_on_b(candidate):
    if candidate == "b":
        raise InfrastructureError("the judge is gone")
    return 1.0


def partly(evaluate, answers):
    with pytest.raises(InfrastructureError) as caught:
        evaluate(answers)
    return [None if each is None else getattr(each, "vector", each) for each in caught.value.found]


def test_tasks_functions_and_cascades_keep_what_could_be_scored():
    class Short:
        w_star, concurrency = (0.5, 0.5), 2

        def score(self, answer, row):
            return self.score_some(answer, row, (0, 1))

        def score_some(self, answer, row, components):
            if answer == "b" or (answer == "c" and len(components) == 1 and self.broken):
                raise InfrastructureError("no node is left")
            return tuple(float(len(answer) + c) for c in components)

    task = Short()
    task.broken = False
    problem = TaskProblem(task, {"prompt": "p"}, AnswerFormat())
    assert partly(problem.evaluate, ["a", "b", "c"]) == [(1.0, 2.0), None, (1.0, 2.0)]
    assert partly(FunctionProblem(lost_on_b, prompt="p").evaluate, ["a", "b"]) == [(1.0,), None]
    cascade = Cascade(problem, share=0.5, bar=0.0)
    assert partly(cascade.evaluate, ["a", "b"]) == [(1.0, 2.0), None]


def test_a_cascade_that_fails_in_its_second_stage_does_not_run_the_first_again():
    ran = []

    class Halves:
        id, prompt, num_answers, num_components = "halves", "p", 1, 4

        def evaluate_some(self, answers, components):
            ran.extend(zip(answers, map(tuple, components), strict=True))
            if len(ran) == 2:
                raise InfrastructureError("lost")
            return [(1.0,) * len(each) for each in components]

    cascade = Cascade(Halves(), share=0.5, bar=0.5)
    assert partly(cascade.evaluate, ["a"]) == [None]
    (found,) = cascade.evaluate(["a"])
    assert found.vector == (1.0,) * 4 and len(ran) == 3 and ran[1] == ran[2]
    cascade.evaluate(["a"])
    assert len(ran) == 5  # nothing is remembered for longer


def test_programs_that_the_sandbox_could_not_run_are_tried_again(box):
    lost = []

    class Losing(Sandbox):
        """The real one, but for the first job of a program that says so."""

        def __init__(self):
            pass

        def submit(self, job):
            future = box.submit(job)
            if "LOST" in job.code and not lost:
                lost.append(job.code)
                future.result()
                return type("Now", (), {"result": lambda self: (Result("infra", detail="the process ended"),)})()
            return future

    evaluator = ProgramEvaluator("f", lambda value: value, sandbox=Losing(), limits=Limits(seconds=5.0))
    problem = FunctionProblem(evaluator, prompt="p")
    programs = ["def f(): return 1", "def f(): return 2  # LOST"]
    assert partly(problem.evaluate, programs) == [(1.0,), None]
    assert [each.vector for each in problem.evaluate(programs)] == [(1.0,), (2.0,)] and len(lost) == 1


def test_an_openevolve_candidate_that_could_not_be_run_does_not_take_the_others_along(tmp_path, box):
    (tmp_path / "initial_program.py").write_text("def f():\n    return 1\n")
    (tmp_path / "evaluator.py").write_text(
        "def evaluate(path):\n"
        "    names = {}\n"
        "    exec(open(path).read(), names)\n"
        "    return {'combined_score': names['f']()}\n"
    )
    is_down = []

    class Losing(Sandbox):
        def __init__(self):
            pass

        def submit(self, job):
            future = box.submit(job)
            if is_down and "LOST" in str(job.cases):
                future.result()
                return type("Now", (), {"result": lambda self: (Result("infra", detail="the process ended"),)})()
            return future

    problem = openevolve_problem(tmp_path, sandbox=Losing())
    is_down.append(True)
    programs = ["def f():\n    return 2", "def f():\n    return 3  # LOST"]
    assert partly(problem.evaluate, programs) == [(2.0,), None]
    is_down.clear()
    assert [each.vector for each in problem.evaluate(programs)] == [(2.0,), (3.0,)]


@pytest.fixture(scope="module")
def box():
    from vpo.sandbox import NotEnforced

    try:
        sandbox = Sandbox(1)
    except NotEnforced as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox
