"""Out of the box: network, files, other jobs, the parent, new namespaces."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vpo.sandbox.escapes.attempts import call, program
from tests.vpo.sandbox.places import needs_own_tmp
from vpo.sandbox import Job, Sandbox


def test_there_is_no_network(box: Sandbox) -> None:
    code = """
import socket
def attempt(family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(1)
            s.connect(address)
            return "connected"
    except OSError as error:
        return type(error).__name__
def f(port):
    return [attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
            attempt(socket.AF_INET, socket.SOCK_DGRAM, ("1.1.1.1", 53)),
            attempt(socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
            attempt(socket.AF_VSOCK, socket.SOCK_STREAM, (2, port)),
            attempt(socket.AF_UNIX, socket.SOCK_STREAM, "\\0vpo-test")]
"""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0vpo-test")
        unix.listen()
        result = call(box, code, server.getsockname()[1])
    assert result.value == ["PermissionError"] * 4 + ["ConnectionRefusedError"]


def test_processes_of_one_job_may_talk(box: Sandbox) -> None:
    code = """
import multiprocessing
def square(x): return x * x
def f():
    with multiprocessing.get_context("fork").Pool(2) as pool: return pool.map(square, range(4))
"""
    assert call(box, code).value == [0, 1, 4, 9]


def test_files_of_the_user_and_of_the_task_are_not_there(box: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "expected.txt"
    secret.write_text("42")
    secret.chmod(0o644)
    code = """
import os
def f(*paths): return [os.path.exists(path) for path in paths]
def home(path): return os.listdir(path) if os.path.isdir(path) else []
"""
    paths = [
        str(secret),
        __file__,
        "/proc/1/environ",
        "/proc/self",
        "/sys",
        "/etc/shadow",
        "/etc/hostname",
        "/var",
        "/opt",
    ]
    assert call(box, code, *paths).value == [False] * len(paths)
    assert call(box, "def f(): import vpo.tasks").detail.startswith("Traceback")
    here = str(Path(__file__).resolve().parents[4])
    (listing,) = box.run(Job(code, [[here]], "home"))
    assert set(listing.value) <= {".venv"}


@needs_own_tmp
def test_nothing_but_the_own_folder_can_be_written(box: Sandbox) -> None:
    code = """
import os, sys
def f():
    written = []
    for root in ("/", "/usr", "/etc", "/dev", sys.prefix, os.path.dirname(os.__file__), "/box", "/tmp", "/dev/shm"):
        try:
            open(os.path.join(root, "new"), "w").close()
            written.append(root)
        except OSError: pass
    return written
"""
    assert call(box, code).value == ["/box", "/tmp", "/dev/shm"]


def test_another_jobs_files_memory_and_environment_are_not_there(box: Sandbox) -> None:
    secret = "f1fty-f0ur"
    leave = (
        f"open('secret', 'w').write('{secret}')\nkeep = ['{secret}'] * 1000\nimport os\nos.environ['SECRET'] = keep[0]"
    )
    for _ in range(4):
        assert program(box, leave).status == "ok"
    find = """
import gc, os
def f(head, tail):
    word = head + tail
    held = [x for x in gc.get_objects() if isinstance(x, (list, dict, tuple)) and len(x) < 2000 and word in repr(x)]
    held = [x for x in held if head not in (x if isinstance(x, (list, tuple)) else ())]
    return [os.path.exists("/box/secret"), os.environ.get("SECRET"), sum(isinstance(x, list) for x in held)]
"""
    for _ in range(4):
        assert call(box, find, secret[:5], secret[5:]).value == [False, None, 0]


def test_the_environment_of_this_process_does_not_enter(monkeypatch: pytest.MonkeyPatch, box: Sandbox) -> None:
    names = program(box, "import os\nprint(*sorted(os.environ))").stdout.split()
    assert "PATH" in names
    assert not [name for name in names if name.startswith(("HF_", "WANDB", "PYTEST", "AWS", "USER"))]


def test_the_parent_and_other_jobs_cannot_be_signalled(box: Sandbox) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as target:
        other = box.submit(Job("import time\ntime.sleep(1)\nprint('done')", [""]))
        code = """
import os, signal
def f(*pids):
    for pid in (*pids, os.getppid(), 0, -1, 1):
        try: os.kill(pid, signal.SIGKILL if pid > 0 else 0)
        except OSError: pass
    return os.getpid()
"""
        assert call(box, code, target.pid, os.getpid()).status == "ok"
        assert other.result()[0].stdout == "done\n"
        assert target.poll() is None
        target.kill()


def test_the_supervisors_limits_and_memory_cannot_be_reached(box: Sandbox) -> None:
    code = """
import ctypes, os, resource
def attempt(action):
    try: return action()
    except OSError as error: return type(error).__name__
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    return [attempt(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))),
            attempt(lambda: os.sched_setaffinity(1, [0])),
            attempt(lambda: os.setpriority(os.PRIO_PROCESS, 1, 19)),
            libc.ptrace(16, 1, 0, 0), os.path.exists("/proc/1/mem")]
"""
    result = call(box, code)
    assert result.value == ["PermissionError"] * 3 + [-1, False]


def test_no_new_namespace_and_no_mount_can_be_made(box: Sandbox) -> None:
    code = """
import ctypes, os
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    calls = [libc.unshare(flag) for flag in (0x10000000, 0x20000, 0x40000000)]
    calls += [libc.mount(b"none", b"/box", b"tmpfs", 0, None), libc.umount2(b"/box", 0), libc.chroot(b"/box")]
    calls.append(libc.syscall({"x86_64": 56, "aarch64": 220}[os.uname().machine], 0x10000000 | 17, 0, 0, 0, 0))
    return calls
"""
    assert call(box, code).value == [-1] * 7


def test_code_has_no_capability_gets_none_and_leaves_no_core(box: Sandbox) -> None:
    code = """
import ctypes, os
def f():
    libc = ctypes.CDLL(None)
    held = (ctypes.c_uint32 * 6)()
    libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held)
    no_new_privileges, dumpable = libc.prctl(39, 0, 0, 0, 0), libc.prctl(3, 0, 0, 0, 0)
    return [list(held), no_new_privileges, dumpable]
"""
    assert call(box, code).value == [[0] * 6, 1, 0]
