"""More than its share of processes, memory and output."""

from __future__ import annotations

import threading

from tests.vpo.sandbox.escapes.attempts import INNOCENT, call, program
from tests.vpo.sandbox.onlookers import processes
from vpo.sandbox import Job, Result, Sandbox


def test_a_fork_bomb_ends_with_its_case(box: Sandbox, mark: str) -> None:
    before = len(processes(mark))
    bomb = box.submit(Job("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", ["", ""]))
    most = 0
    while not bomb.done():
        most = max(most, len(processes(mark)) - before)
    assert {result.status for result in bomb.result()} <= {"timeout", "error"}
    assert 0 < most <= box.limits.processes + 1


def test_many_threads_are_too_many_processes(box: Sandbox) -> None:
    code = """
import threading, time
def f():
    for count in range(100):
        try: threading.Thread(target=time.sleep, args=[9], daemon=True).start()
        except RuntimeError: return count
"""
    assert call(box, code).value == box.limits.processes - 1


def test_infinite_output_is_no_result(box: Sandbox) -> None:
    assert program(box, "while True: print('x' * 1000)").status == "invalid"
    assert program(box, "import sys\nwhile True: sys.stderr.write('x' * 1000)").status == "timeout"
    result = program(box, "import sys\nfor i in range(9999): print(i, file=sys.stderr)")
    assert result.status == "ok" and result.stderr.endswith("9997\n9998\n") and len(result.stderr) <= 2048


def test_an_infinite_result_is_none(box: Sandbox) -> None:
    assert call(box, "def f(): return 'x' * 10**6").status == "invalid"
    assert call(box, "import os\ndef f():\n    while True: os.write(3, b'x' * 1000)").status == "invalid"


def test_six_gigabytes_are_refused(box: Sandbox) -> None:
    assert program(box, "x = bytearray(6 << 30)").status == "oom"
    assert call(box, "import numpy\ndef f(): return numpy.ones(6 << 27).sum()").status == "oom"
    assert call(box, "def f():\n    x = []\n    while True: x.append('x' * 10**6)").status == "oom"


def test_memory_of_all_processes_is_counted_together(box: Sandbox) -> None:
    code = """
import os, time
def f():
    for _ in range(4):
        if os.fork() == 0: break
    x = bytearray(b"x") * (100 << 20)
    time.sleep(1.5)
"""
    assert call(box, code).status == "oom"


def test_memory_that_no_process_limit_counts_cannot_be_had(box: Sandbox) -> None:
    shared = "import ctypes\ndef f(): return ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600)"
    assert call(box, shared).value == -1
    assert call(box, "import os\ndef f(): return os.memfd_create('x')").status == "error"
    disk = "def f():\n    for n in range(99):\n        open(f'{n}', 'wb').write(b'x' * (8 << 20))"
    assert call(box, disk).status == "error"


def test_a_limit_cannot_be_raised(box: Sandbox) -> None:
    code = "import resource\ndef f(): resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"
    assert call(box, code).status == "error"


def test_a_job_in_every_worker_at_once_is_as_safe_as_one(box: Sandbox) -> None:
    jobs = [Job("while True: pass", [""]), Job("import os\nwhile True: os.fork()", [""]), INNOCENT] * 2
    done: list[list[tuple[Result, ...]]] = []
    threads = [threading.Thread(target=lambda: done.append(box.map(jobs))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in done:
        assert [result.value for (result,) in results[2::3]] == [[0, 1, 4, 9]] * 2
        assert "ok" not in [result.status for (result,) in results[0::3] + results[1::3]]
