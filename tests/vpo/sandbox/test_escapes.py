"""Known escapes and reward hacks, one test each. After each of them the sandbox is as it was before."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vpo.sandbox.onlookers import processes, wait_until
from vpo.sandbox import CallTest, Job, Result, Sandbox, StdinTest, run_tests

INNOCENT = Job("import numpy\ndef f(x): return (numpy.arange(x) ** 2).tolist()", [[4]], "f")


@pytest.fixture(autouse=True)
def as_before(box: Sandbox, mark: str) -> Iterator[None]:
    """Nothing is left of a job: no process, no file; and both workers answer as if nothing had been."""
    before = processes(mark)
    yield
    answers = box.map([INNOCENT] * 4)
    assert [(answer.status, answer.value) for (answer,) in answers] == [("ok", [0, 1, 4, 9])] * 4
    assert wait_until(lambda: processes(mark) == before), "the zygotes must be the only processes, and the same"
    assert set(before.values()) == {os.getpid()}
    (files,) = box.run(Job("import os\ndef f(): return sorted(os.listdir('/box') + os.listdir('/dev/shm'))", [[]], "f"))
    assert files.value == []
    assert not Path("/box").exists()


def call(box: Sandbox, code: str, *args: object) -> Result:
    """The result of the code's function f."""
    (result,) = box.run(Job(code, [list(args)], "f"))
    return result


def program(box: Sandbox, code: str, stdin: str = "") -> Result:
    (result,) = box.run(Job(code, [stdin]))
    return result


# --- the way out of the result ------------------------------------------------------------------------------------


def test_an_object_that_pickles_into_a_command_is_no_result(box: Sandbox, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    code = f"""
import os, pickle
class Evil:
    def __reduce__(self): return (os.system, ("touch {victim}",))
def f(): return Evil()
def g(): return pickle.dumps(Evil())
"""
    assert call(box, code).status == "invalid"
    (as_bytes,) = box.run(Job(code, [[]], "g"))
    assert as_bytes.status == "invalid"
    assert not victim.exists()


def test_an_object_that_equals_everything_passes_no_test(box: Sandbox) -> None:
    code = """
class Yes:
    def __eq__(self, other): return True
    def __hash__(self): return 0
class YesInt(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def f(x): return Yes() if x else YesInt(7)
"""
    outcomes = run_tests(code, [CallTest("f", [1], 42), CallTest("f", [0], 42)], box)
    assert [outcome.status for outcome in outcomes] == ["invalid", "wrong"]


def test_what_a_subclass_of_a_number_says_of_itself_is_not_believed(box: Sandbox) -> None:
    code = """
class Liar(float):
    def __float__(self): return 42.0
    def __repr__(self): return "42.0"
    def __eq__(self, other): return True
def f(): return Liar(1.5)
"""
    result = call(box, code)
    assert (result.status, result.value, type(result.value)) == ("ok", 1.5, float)


def test_a_forged_message_is_a_result_at_best(box: Sandbox) -> None:
    forged = """
import os
def f(text):
    os.write(3, text.encode())
    os._exit(0)
"""
    assert call(box, forged, '{"value": 7}').value == 7  # it could have returned it
    for text in (
        '{"value": NaN}',
        '{"value": 1e999}',
        '{"infra": true}',
        '{"status": "ok"}',
        "[" * 10**5,
        "\x00",
        '"x"',
    ):
        assert call(box, forged, text).status == "invalid", text
    assert call(box, forged, '{"value": "\\ud800"}').status == "invalid"
    assert call(box, forged.replace("os._exit(0)", "return 1"), '{"value": 7}').status == "invalid"  # said twice
    assert call(box, forged.replace("os._exit(0)", "os._exit(70)"), '{"value": 7}').status == "error"


def test_the_expected_output_is_in_no_frame_and_no_object(box: Sandbox) -> None:
    secret = "seven-hundred-and-seventy-seven"
    code = """
import ctypes, gc, sys
def texts():
    frame = sys._getframe()
    while frame is not None:
        yield repr(frame.f_locals)
        yield repr({k: v for k, v in frame.f_globals.items() if isinstance(v, (str, list, dict))})
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, (dict, list, tuple, set)):
            yield repr(thing) if len(thing) < 1000 else ""
def half(): return "-".join(["seven", "hundred", "and", "seventy"])  # nowhere here in one piece
def f(x):
    found = [text for text in texts() if half() in text]
    return len(found)
import os
if __name__ == "__main__":
    print(f(0))
"""
    call_outcome, stdin_outcome = run_tests(code, [CallTest("f", [1], secret), StdinTest("1\n", secret)], box)
    assert (call_outcome.status, call_outcome.result.value) == ("wrong", 0)
    assert (stdin_outcome.status, stdin_outcome.result.stdout) == ("wrong", "0\n")


def test_patched_builtins_and_numpy_are_gone_with_the_case(box: Sandbox) -> None:
    code = """
import builtins, json, numpy, time, os, random
def f(x):
    before = len([1, 2]), numpy.arange(3).sum().item(), time.time() > 0
    builtins.len = lambda _: 99
    builtins.print = builtins.isinstance = None
    numpy.arange = lambda *_: numpy.zeros(9)
    time.time = lambda: -1.0
    os.write = os._exit = lambda *_: None
    json.dumps = json.JSONEncoder.encode = lambda *_, **__: "[]"
    return list(before)
"""
    results = box.run(Job(code, [[1], [2]], "f"))
    assert all(result.status != "infra" for result in results)
    clean = "import numpy, time\ndef f(): return [len([1, 2]), numpy.arange(3).sum().item(), time.time() > 0]"
    assert [call(box, clean).value for _ in range(3)] == [[2, 3, True]] * 3


# --- more than its share --------------------------------------------------------------------------------------------


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


# --- out of the box -------------------------------------------------------------------------------------------------


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
    here = str(Path(__file__).resolve().parents[3])
    (listing,) = box.run(Job(code, [[here]], "home"))
    assert set(listing.value) <= {".venv"}


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


# --- beyond its end -------------------------------------------------------------------------------------------------


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


# --- what is not a number -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "float('nan')",
        "float('inf')",
        "[1, [2, -float('inf')]]",
        "numpy.array([1, numpy.nan])",
        "numpy.float32('inf')",
        "numpy.array([1, None], dtype=object)",
        "numpy.array([1 + 2j])",
        "numpy.array(['a'])",
        "1j",
        "b'x'",
        "{1, 2}",
        "{(1, 2): 3}",
        "object()",
        "f",
        "10 ** 5000",
        "numpy",
    ],
)
def test_what_is_no_plain_finite_value_is_invalid(box: Sandbox, value: str) -> None:
    assert call(box, f"import numpy\ndef f(): return {value}").status == "invalid"


def test_a_value_that_holds_itself_is_invalid(box: Sandbox) -> None:
    assert call(box, "def f():\n    x = []\n    x.append(x)\n    return x").status == "invalid"
    assert call(box, "def f():\n    x = []\n    for _ in range(10**5): x = [x]\n    return x").status == "invalid"


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
