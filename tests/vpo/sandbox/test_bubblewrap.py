"""The other backend keeps what the first one promises."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vpo.sandbox.conftest import LIMITS
from tests.vpo.sandbox.onlookers import new_mark, processes, wait_until
from vpo.sandbox import CallTest, Job, NotEnforced, Sandbox, StdinTest, run_tests

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(scope="module")
def wrapped() -> Iterator[tuple[Sandbox, str]]:
    mark = new_mark()
    allow = ["no_process_limit"] if os.getuid() == 0 else []  # root's processes are not limited, and bwrap stays root
    try:
        sandbox = Sandbox(2, LIMITS, readable=[mark], allow=allow, backend="bubblewrap")
    except NotEnforced as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox, mark


@pytest.fixture(autouse=True)
def nothing_left(wrapped: tuple[Sandbox, str]) -> Iterator[None]:
    yield
    assert wait_until(lambda: not processes(wrapped[1])), "every job has a process of its own, gone with it"


def test_outcomes_are_those_of_a_zygote(wrapped: tuple[Sandbox, str], box: Sandbox) -> None:
    code = "import numpy\ndef f(x): return numpy.arange(x)\nif __name__ == '__main__': print(input())"
    tests = [CallTest("f", [3], [0, 1, 2]), CallTest("f", ["x"], 1), StdinTest("a", "a"), StdinTest("a", "b")]
    found = [[outcome.status for outcome in run_tests(code, tests, each)] for each in (wrapped[0], box)]
    assert found[0] == found[1] == ["pass", "error", "pass", "wrong"]


def test_a_hanging_case_does_not_lose_the_others(wrapped: tuple[Sandbox, str]) -> None:
    code = "def f(x):\n    while x == 1: pass\n    return bytearray(6 << 30) if x == 2 else x"
    assert [result.status for result in wrapped[0].run(Job(code, [[0], [1], [2], [3]], "f"))] == [
        "ok",
        "timeout",
        "oom",
        "ok",
    ]


def test_files_processes_and_the_supervisor_are_out_of_reach(wrapped: tuple[Sandbox, str], tmp_path: Path) -> None:
    secret = tmp_path / "expected.txt"
    secret.write_text("42")
    code = """
import ctypes, os, resource, signal
def attempt(action):
    try: return action()
    except (OSError, ValueError) as error: return type(error).__name__
def f(path):
    attempt(lambda: os.kill(1, signal.SIGKILL))
    return [os.path.exists(path), attempt(lambda: os.listdir("/proc")), attempt(lambda: open("/proc/1/mem", "rb")),
            attempt(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))),
            attempt(lambda: open("/usr/new", "w")), attempt(lambda: open("/etc/passwd")),
            ctypes.CDLL(None).ptrace(16, 1, 0, 0)]
"""
    (result,) = wrapped[0].run(Job(code, [[str(secret)]], "f"))
    assert result.value is not None, result
    assert result.value[0] is False
    assert set(result.value[1:6]) <= {
        "PermissionError",
        "FileNotFoundError",
        "OSError",
    }  # the last of a read-only place
    assert result.value[6] == -1


def test_a_job_finds_nothing_of_the_last_one(wrapped: tuple[Sandbox, str]) -> None:
    job = Job(
        "import os\ndef f():\n    found = os.listdir('/box')\n    open('left', 'w').close()\n    return found",
        [[]] * 2,
        "f",
    )
    assert [[result.value for result in results] for results in wrapped[0].map([job] * 3)] == [[[], []]] * 3


def test_daemons_and_bombs_end_with_their_case(wrapped: tuple[Sandbox, str]) -> None:
    daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(60)\nprint('left')"
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    assert wrapped[0].run(Job(daemon, [""]))[0].stdout == "left\n"
    assert wrapped[0].run(Job(bomb, [""]))[0].status in ("error", "timeout")


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OSError, match="there is no bwrap: install the package bubblewrap"):
        Sandbox(1, backend="bubblewrap")
