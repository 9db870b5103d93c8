"""The pool under blows from outside: killed workers, a killed parent, Ctrl-C, closing in the middle, many threads."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from tests.vpo.sandbox.onlookers import new_mark, processes, wait_until
from vpo.sandbox import Job, Limits, Sandbox
from vpo.sandbox.channel import Lost
from vpo.sandbox.worker import Settings

DOUBLE = "def f(x): return 2 * x"
SLOW = "import time\ndef f(x):\n    time.sleep(x)\n    return x"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def own(mark: str, box: Sandbox) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox of the test's own with one worker, and its mark; ``box`` skips where there can be none."""
    mark = new_mark()
    with Sandbox(1, Limits(seconds=20), preload=(), readable=[mark]) as sandbox:
        yield sandbox, mark
    assert wait_until(lambda: not processes(mark))


def zygotes(mark: str) -> list[int]:
    return [pid for pid, parent in processes(mark).items() if parent == os.getpid()]


def test_results_come_in_the_order_of_the_jobs(box: Sandbox) -> None:
    jobs = [Job(SLOW, [[0.2 if number % 3 == 0 else 0]], "f") for number in range(9)]
    assert [value.value for (value,) in box.map(jobs)] == [0.2, 0, 0] * 3


def test_threads_and_an_event_loop_share_a_sandbox(box: Sandbox) -> None:
    found: dict[int, list[int]] = {}

    def work(start: int) -> None:
        jobs = [Job(DOUBLE, [[number]], "f") for number in range(start, start + 10)]
        found[start] = [result.value for (result,) in box.map(jobs)]

    async def many() -> list[Any]:
        done = await asyncio.gather(*(box.run_async(Job(DOUBLE, [[number]], "f")) for number in range(10)))
        return [result.value for (result,) in done]

    threads = [threading.Thread(target=work, args=[100 * number]) for number in range(4)]
    for thread in threads:
        thread.start()
    assert asyncio.run(many()) == [2 * number for number in range(10)]
    for thread in threads:
        thread.join()
    assert found == {start: [2 * (start + number) for number in range(10)] for start in (0, 100, 200, 300)}


def test_a_sandbox_made_in_a_thread_outlives_it() -> None:
    made: list[Sandbox] = []
    thread = threading.Thread(target=lambda: made.append(Sandbox(1, preload=())))
    thread.start()
    thread.join()
    time.sleep(0.2)
    with made[0] as sandbox:
        assert sandbox.run(Job(DOUBLE, [[4]], "f"))[0].value == 8


@pytest.mark.parametrize("victim", ["zygote", "supervisor", "candidate"])
def test_a_job_whose_process_is_killed_from_outside(own: tuple[Sandbox, str], victim: str) -> None:
    """The zygote's and the supervisor's deaths are ours: the job runs again. The candidate's is taken for its own."""
    sandbox, mark = own
    (zygote,) = zygotes(mark)
    future = sandbox.submit(Job(SLOW, [[0], [1.5], [0]], "f"))
    assert wait_until(lambda: len(processes(mark)) == 3)
    (supervisor,) = [pid for pid, parent in processes(mark).items() if parent == zygote]
    time.sleep(0.3)  # the first case is over by then
    (candidate,) = [pid for pid, parent in processes(mark).items() if parent == supervisor]
    os.kill({"zygote": zygote, "supervisor": supervisor, "candidate": candidate}[victim], signal.SIGKILL)
    results = future.result()
    if victim == "candidate":
        assert [result.status for result in results] == ["ok", "oom", "ok"]
    else:
        assert [result.value for result in results] == [0, 1.5, 0]
    assert (zygotes(mark) == [zygote]) == (victim == "candidate")
    assert wait_until(lambda: len(processes(mark)) == 1), "the killed one's descendants must be gone"


def test_a_job_that_loses_its_worker_twice_is_infra_and_the_pool_survives(own: tuple[Sandbox, str]) -> None:
    sandbox, mark = own
    killed: list[int] = []
    future = sandbox.submit(Job(SLOW, [[0], [9], [0]], "f"))
    while not future.done():
        found = processes(mark)
        for zygote in set(zygotes(mark)) - set(killed):
            if any(found.get(parent) == zygote for parent in found.values()):  # a supervisor with a candidate
                time.sleep(0.3)
                os.kill(zygote, signal.SIGKILL)
                killed.append(zygote)
        time.sleep(0.02)
    results = future.result()
    assert [result.status for result in results] == ["ok", "infra", "infra"]
    assert "ended" in results[1].detail
    assert len(killed) == 2
    assert sandbox.run(Job(DOUBLE, [[4]], "f"))[0].value == 8


def test_a_worker_that_does_not_answer_is_replaced(own: tuple[Sandbox, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vpo.sandbox.worker.GRACE_SECONDS", 0.5)
    sandbox, mark = own
    (zygote,) = zygotes(mark)
    os.kill(zygote, signal.SIGSTOP)
    assert sandbox.run(Job(DOUBLE, [[4]], "f", Limits(seconds=1)))[0].value == 8
    assert zygotes(mark) != [zygote]


def test_a_worker_that_died_between_jobs_is_replaced(own: tuple[Sandbox, str]) -> None:
    sandbox, mark = own
    os.kill(*zygotes(mark), signal.SIGKILL)
    assert sandbox.run(Job(DOUBLE, [[4]], "f"))[0].value == 8


def test_closing_breaks_off_what_runs_and_cancels_what_waits(own: tuple[Sandbox, str]) -> None:
    sandbox, mark = own
    futures = [sandbox.submit(Job(SLOW, [[15]], "f")) for _ in range(3)]
    assert wait_until(lambda: len(processes(mark)) == 3)
    start = time.monotonic()
    sandbox.close()
    assert time.monotonic() - start < 10
    assert [result.status for result in futures[0].result()] == ["infra"]
    for future in futures[1:]:
        with pytest.raises(CancelledError):
            future.result()
    assert wait_until(lambda: not processes(mark))
    sandbox.close()  # twice is no mistake
    with pytest.raises(RuntimeError, match="this sandbox is closed"):
        sandbox.submit(Job(DOUBLE, [[1]], "f"))


def _submit_in_child(sandbox: Sandbox, answers: Any) -> None:
    try:
        sandbox.submit(Job(DOUBLE, [[1]], "f"))
    except RuntimeError as error:
        answers.put(str(error))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_told_to_make_its_own(own: tuple[Sandbox, str]) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_submit_in_child, args=(own[0], answers))
    child.start()
    assert "belongs to the process that this one was forked from" in answers.get(timeout=20)
    child.join()


PARENT = """
import os, sys, time
from vpo.sandbox import Job, Limits, Sandbox
with Sandbox(2, Limits(seconds=60), preload=(), readable=[sys.argv[1]]) as box:
    if "fork" in sys.argv and os.fork() == 0:  # holds the pipes open, as a data loader's worker does
        time.sleep(8)
        os._exit(0)
    print("ready", flush=True)
    box.map([Job("import subprocess\\nsubprocess.run(['sleep', input()])", [sys.argv[2]])] * 50)
"""


@pytest.mark.parametrize(
    ("how", "more"), [(signal.SIGKILL, ""), (signal.SIGKILL, "fork"), (signal.SIGINT, ""), (signal.SIGTERM, "")]
)
def test_nothing_outlives_the_parent(box: Sandbox, how: signal.Signals, more: str) -> None:
    mark, seconds = new_mark(), f"{77 + random.random()}"
    command = [sys.executable, "-c", PARENT, mark, seconds, more]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        try:
            assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
            # Those that know the number: the parent, its fork, and what the two jobs have started.
            assert wait_until(lambda: len(processes(seconds)) == 3 + bool(more))
            inside = [pid for pid in processes(mark) if alive(pid)]
            assert len(inside) == 6
            parent.send_signal(how)
            assert wait_until(lambda: not any(alive(pid) for pid in inside), 6)
            assert (parent.wait(timeout=20) < 0) or how == signal.SIGINT
        finally:
            parent.kill()
        assert wait_until(lambda: not processes(mark) and not processes(seconds))


def alive(pid: int) -> bool:
    """Whether this is a zygote or comes from one, and runs."""
    try:
        return b"vpo.sandbox.zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


class LostTwice:
    """A backend whose workers are somewhere else, as actors on other machines would be."""

    def __init__(self) -> None:
        self.restarts = 0

    def start(self, settings: Settings) -> LostTwice:
        return self

    def wait_until_ready(self) -> dict[str, str | None]:
        return {}

    def run(self, payload: bytes, seconds: float) -> Iterator[dict[str, Any]]:
        yield {
            "stopped": None,
            "exit": 0,
            "cpu": 0.0,
            "seconds": 0.1,
            "stdout": "",
            "stderr": "",
            "message": '+{"value":1}',
        }
        if self.restarts < 1:
            raise Lost("the machine is gone")
        yield {"stopped": "time", "exit": -9, "cpu": 0.0, "seconds": 2.0, "stdout": "", "stderr": "", "message": "+"}

    def restart(self) -> None:
        self.restarts += 1

    def kill(self) -> None: ...

    def close(self) -> None: ...


def test_workers_may_be_anywhere() -> None:
    backend = LostTwice()
    with Sandbox(1, backend=backend) as sandbox:
        results = sandbox.run(Job(DOUBLE, [[1], [2]], "f"))
    assert [(result.status, result.value) for result in results] == [("ok", 1), ("timeout", None)]
    assert backend.restarts == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers is 0: expected 1 or more"),
        ({"allow": ["no_walls"]}, ValueError, "allow names 'no_walls': expected names out of no_user_namespaces"),
        ({"readable": ["/usr/.."]}, ValueError, "readable names /: expected what the code needs"),
        ({"backend": "docker"}, ValueError, "backend is 'docker': expected 'zygote', 'bubblewrap'"),
        ({"preload": ["no_such_module"], "workers": 1}, OSError, "no_such_module cannot be imported in the sandbox"),
    ],
)
def test_a_sandbox_that_cannot_be_is_refused(
    box: Sandbox, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Sandbox(**arguments)
