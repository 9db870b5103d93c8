"""An evaluation that never returns: it has a limit if one is set, and never keeps a stopped search from ending."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from search.ledger import read_results
from search.problems import FunctionProblem
from vpo.cli.app import main
from vpo.daemon_threads import DaemonThreads

ROOT = Path(__file__).parents[2]
TASK = """
import threading
from pathlib import Path

from vpo.tasks import task

def rows(split):
    return [{"question": "say one"}]

@task(components=("zeros", "ones"), data=rows, prompt="question")
def count(answer, row):
    folder = Path(__file__).parent
    with (folder / "scored.txt").open("a") as file:
        file.write(answer.replace("\\n", " ") + "\\n")
    if answer.count("3") and not (folder / "mended").exists():
        (folder / "hung").touch()
        threading.Event().wait()
    return answer.count("0") / 4, answer.count("1") / 4
"""
COMMAND = [sys.executable, "-c", "import sys; from vpo.cli.app import main; sys.exit(main(sys.argv[1:]))"]


def start(folder, **changes):
    (folder / "count.py").write_text(TASK)
    config = {
        "problem": {"name": str(folder / "count.py"), "num_answers": 1},
        "sampler": "tests.search.cli_parts:digits",
        "procedure": "best_of_n",
        "budget": {"max_answers": 40},
        "sampling": {"max_new_tokens": 9},
        "out": str(folder / "out"),
    } | changes
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [*COMMAND, "search", "run", str(folder / "config.yaml")]
    return subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(path, process, seconds=60.0):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampler": {"name": "tests.search.cli_parts:digits", "batches": True}, "evaluators": 2},
    ],
    ids=["stream", "rounds with threads"],
)
def test_ctrl_c_ends_a_search_whose_evaluation_hangs_and_it_can_be_resumed(tmp_path, changes):
    process = start(tmp_path, **changes)
    wait_for(tmp_path / "hung", process)
    time.sleep(0.3)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - pressed < 12
    assert process.returncode == 130 and "To go on: vpo search resume" in said
    (tmp_path / "mended").touch()
    assert main(["search", "resume", str(tmp_path / "out"), "--trust"]) == 0
    (found,) = read_results(tmp_path / "out" / "ledger.jsonl")
    assert found.answers[-1] == 40 and found.best[-1] > 0


def test_a_candidate_that_takes_too_long_has_the_floor_and_says_so():
    release = threading.Event()

    def evaluate(candidate):
        if candidate == "hang":
            release.wait()
        if candidate == "late":
            raise TimeoutError("of its own")
        return 2.0

    problem = FunctionProblem(evaluate, prompt="p", floor=-1.0, limit_s=0.2)
    started = time.monotonic()
    hung, late, fine = problem.evaluate(["hang", "late", "fine"])
    assert time.monotonic() - started < 5
    release.set()
    assert (hung.vector, hung.status, hung.artifact) == ((-1.0,), "timeout", "evaluate did not end within 0.2 s")
    assert (late.status, fine.status, fine.vector) == ("error", "ok", (2.0,)) and "of its own" in late.artifact


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(ValueError, match=r"limit_s is .*expected seconds above 0"):
        FunctionProblem(len, prompt="p", limit_s=limit)


def test_a_limit_for_an_evaluator_that_has_its_own_is_refused():
    class Batches:
        def __call__(self, candidate):
            return 1.0

        def batch(self, candidates):
            return [1.0] * len(candidates)

    with pytest.raises(ValueError, match="for an evaluator with batch"):
        FunctionProblem(Batches(), prompt="p", limit_s=1.0)


def test_threads_run_side_by_side_give_results_and_errors_and_can_be_shut_down():
    pool, both = DaemonThreads(2), threading.Barrier(2, timeout=10)
    assert sorted(pool.map(lambda i: both.wait() * 0 + i, range(4))) == [0, 1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()
    begun, hold = threading.Event(), threading.Event()

    def wait():
        begun.set()
        hold.wait()
        return 5

    one = DaemonThreads(1)
    first, second = one.submit(wait), one.submit(wait)
    begun.wait(10)
    one.shutdown(wait=False, cancel_futures=True)
    assert second.cancelled() and not first.done()
    hold.set()
    one.shutdown()
    assert first.result() == 5
    with pytest.raises(RuntimeError, match="shut down"):
        one.submit(wait)
    pool.shutdown()
