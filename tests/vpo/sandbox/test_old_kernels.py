"""Kernels that lack a call: the zygote runs with that call taken away, and what stands in for it must do."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from vpo.sandbox import Job, Limits, NotEnforced, Sandbox

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def patched(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sandbox whose zygotes run some lines before they begin; ``box`` skips where there can be none."""

    def make(lines: str, **options: Any) -> Sandbox:
        script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{textwrap.dedent(lines)}\n"
        script += "from vpo.sandbox.zygote import main\ndel sys.path[0]\nmain(sys.argv[1])"
        monkeypatch.setattr(
            "vpo.sandbox.worker.boot_command",
            lambda module, settings: [sys.executable, "-s", "-P", "-c", script, json.dumps(settings)],
        )
        return Sandbox(1, Limits(seconds=1, memory_mb=128, processes=4), **{"preload": ()} | options)

    return make


def without(call: str) -> str:
    return f"""
        import vpo.sandbox.syscalls as calls
        def gone(*_): raise OSError(38, "Function not implemented")
        calls.{call} = gone
    """


def test_before_5_3_the_end_of_a_process_is_asked_for(patched: Any) -> None:
    gone = "import os\ndef gone(*_): raise OSError(38, 'Function not implemented')\nos.pidfd_open = gone"
    with patched(gone) as box:
        code = "def f(x):\n    while x == 1: pass\n    return x"
        results = box.run(Job(code, [[0], [1], [2]], "f"))
    assert [result.status for result in results] == ["ok", "timeout", "ok"]


def test_before_5_12_the_jail_is_read_only_too(patched: Any) -> None:
    # Landlock is not there either, so that it cannot be what refuses.
    lines = (
        without("mount_setattr") + "\n        import vpo.sandbox.landlock as landlock\n        landlock.ruleset = gone"
    )
    code = """
def f():
    import os, sys
    errors = []
    for root in ("/", "/usr", "/usr/lib", os.path.dirname(os.__file__), "/dev", "/etc"):
        try: open(os.path.join(root, "new"), "w")
        except OSError as error: errors.append(error.errno)
    return errors
"""
    with patched(lines) as box:
        assert box.reasons["landlock"] == "Function not implemented"
        (result,) = box.run(Job(code, [[]], "f"))
    assert len(result.value) == 6 and set(result.value) <= {13, 30}  # EACCES, EROFS


def test_without_landlock_no_signal_reaches_the_supervisor(patched: Any) -> None:
    code = """
import os, signal
def f():
    for number in range(1, 65):
        if number not in (32, 33): os.kill(1, number)
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    gone = """
        import vpo.sandbox.landlock as landlock
        def gone(*_): raise OSError(38, "Function not implemented")
        landlock.syscall = gone
    """
    with patched(gone) as box:
        assert box.reasons["landlock"] == "Function not implemented"
        results = box.run(Job(code, [[], []], "f"))
    assert [(result.status, result.value) for result in results] == [("ok", True)] * 2


def test_without_seccomp_it_is_an_error_by_name_and_the_namespaces_hold(patched: Any) -> None:
    lines = """
        import vpo.sandbox.seccomp as seccomp
        def gone(*_): raise OSError(22, "Invalid argument")
        seccomp.install = gone
    """
    with pytest.raises(NotEnforced, match="no_seccomp: Invalid argument"):
        patched(lines)
    code = """
import ctypes, socket
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket() as s:
        s.settimeout(1)
        return [s.connect_ex(("127.0.0.1", 22)) != 0, libc.mount(b"none", b"/box", b"tmpfs", 0, None)]
"""
    with patched(lines, allow=["no_seccomp"]) as box:
        assert box.run(Job(code, [[]], "f"))[0].value == [True, -1]


def test_where_the_kernel_limits_no_processes_and_no_memory_the_supervisor_does(patched: Any) -> None:
    lines = """
        import resource
        keep = resource.setrlimit
        def setrlimit(kind, value):
            if kind not in (resource.RLIMIT_NPROC, resource.RLIMIT_AS): keep(kind, value)
        resource.setrlimit = setrlimit
    """
    with pytest.raises(NotEnforced) as caught:
        patched(lines)
    assert set(caught.value.missing) == {"process_limit", "memory_limit"}
    fork = "import os, time\nfor _ in range(9):\n    if os.fork() == 0: time.sleep(9)\ntime.sleep(9)"
    grow = "x = []\nwhile True: x.append(bytearray(b'x') * (1 << 20))"
    with patched(lines, allow=["no_process_limit", "no_memory_limit"]) as box:
        assert box.run(Job(fork, [""]))[0].detail == "more processes than 4"
        assert box.run(Job(grow, [""]))[0].detail == "more memory than 128 MiB"


def test_a_module_that_starts_threads_is_not_preloaded(patched: Any) -> None:
    lines = """
        import importlib, threading, time
        def import_module(name):
            threading.Thread(target=time.sleep, args=[60], daemon=True).start()
        importlib.import_module = import_module
    """
    with pytest.raises(OSError, match="importing busy starts 1 threads, which no fork has"):
        patched(lines, preload=["busy"])
