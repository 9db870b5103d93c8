"""Beyond its end: threads, daemons, signals and exits that do not come."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vpo.sandbox.escapes.attempts import call, program
from vpo.sandbox import Sandbox


def test_threads_do_not_outlive_their_function(box: Sandbox) -> None:
    code = """
import threading, time
def f():
    threading.Thread(target=time.sleep, args=[60]).start()
    return 1
"""
    result = call(box, code)
    assert (result.status, result.value) == ("ok", 1) and result.seconds < 2


def test_daemons_do_not_outlive_their_case(box: Sandbox) -> None:
    code = """
import os, time, signal, subprocess
if os.fork() == 0:
    os.setsid()
    for name in range(1, 32):
        try: signal.signal(name, signal.SIG_IGN)
        except OSError: pass
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
subprocess.Popen(["sleep", "54321"], start_new_session=True)
print("left")
"""
    result = program(box, code)
    assert (result.status, result.stdout) == ("ok", "left\n")
    found = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert b"sleep\x0054321\x00" not in found


def test_signal_handlers_and_alarms_do_not_stop_the_clock(box: Sandbox) -> None:
    code = """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, lambda *_: None)
    except (OSError, ValueError): pass
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def f():
    while True:
        try: time.sleep(1)
        except BaseException: pass
"""
    result = call(box, code)
    assert result.status == "timeout" and 2 <= result.seconds < 10


def test_an_exit_that_never_ends_is_a_timeout(box: Sandbox) -> None:
    assert program(box, "import atexit\n@atexit.register\ndef f():\n    while True: pass").status == "timeout"
    assert (
        program(box, "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()").status
        == "timeout"
    )
    assert (
        program(box, "class A:\n    def __del__(self):\n        while True: pass\na = A()\ndel a").status == "timeout"
    )
    evil = "class A(dict):\n    def items(self):\n        while True: yield ('a', 1)\ndef f(): return A(a=1)"
    assert call(box, evil).status in ("timeout", "oom")


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("import os; os._exit(0)", "error"),
        ("import os; os._exit(3)", "error"),
        ("import sys; sys.exit(0)", "error"),
        ("raise SystemExit", "error"),
        ("raise KeyboardInterrupt", "error"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "oom"),
        ("import os; os.abort()", "error"),
        ("import ctypes; ctypes.string_at(0)", "error"),
        ("import os; os.closerange(0, 99)", "error"),
    ],
)
def test_ending_the_process_gives_no_result(box: Sandbox, end: str, status: str) -> None:
    assert call(box, f"def f():\n    {end}\n    return 1").status == status
