"""The process that jobs are forked from: imports done, jail built, one job at a time.

Started by exec of a fresh interpreter (:func:`boot_command`), so it holds nothing of its parent, CUDA least of all.
On standard input it takes jobs: eight bytes of length, then JSON, which the supervisor reads. On standard output it
answers in lines of JSON: first a report of what this host enforces, then for each job a line a case and a last one
with the supervisor's exit status. It ends when its parent does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from vpo.sandbox import candidate, descendants, jail, namespaces
from vpo.sandbox import syscalls as sys_
from vpo.sandbox.capabilities import unmet
from vpo.sandbox.dialogue import HEADER
from vpo.sandbox.place import Place, make_filter
from vpo.sandbox.supervisor import REQUESTS, exit_file, read_exactly, serve, write_line

ROOT = str(Path(__file__).resolve().parents[2])
_PACKAGES = ("vpo", "trainers", "search", "eval")  # tasks and their data, should they be installed beside numpy
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from {module} import main; del sys.path[0]; main(sys.argv[2])"


def boot_command(module: str, settings: dict[str, Any]) -> list[str]:
    """The command that runs ``main`` of one of our modules in a fresh interpreter, without user's or current folder."""
    return [sys.executable, "-s", "-P", "-c", _BOOT.format(module=module), ROOT, json.dumps(settings)]


def main(text: str) -> NoReturn:
    """Be a zygote.

    Args:
        text: JSON object with ``preload`` (modules), ``readable`` (paths) and ``allow`` (names).
    """
    settings = json.loads(text)
    parent = os.getppid()
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    visible, hidden = jail.visible_paths(settings["readable"]), hidden_paths()
    reasons = namespaces.reasons(proc, visible, hidden)
    report: dict[str, Any] = {"reasons": reasons, "ready": not unmet(reasons, settings["allow"])}
    if not report["ready"]:
        write_line(report)
        os._exit(0)
    have = frozenset(name for name, reason in reasons.items() if reason is None)
    if "mount_namespaces" in have:
        namespaces.enter_jail(proc, visible, hidden)
    else:
        namespaces.become_unprivileged()
    report |= preload(settings["preload"], proc)
    write_line(report)
    if not report["ready"]:
        os._exit(0)
    _serve_jobs(_place(have, proc, visible), parent)


def hidden_paths() -> list[str]:
    """Folders of our own packages, which hold tasks and their answers."""
    return [str(Path(ROOT, name)) for name in _PACKAGES]


def preload(modules: list[str], proc: int) -> dict[str, Any]:
    """Import what jobs should find imported; what went wrong, if anything did."""
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            return {
                "ready": False,
                "failed": f"{name} cannot be imported in the sandbox: {type(error).__name__}: {error}",
            }
    if (count := descendants.num_threads(proc)) > 1:
        return {
            "ready": False,
            "failed": f"importing {', '.join(modules)} starts {count - 1} threads, which no fork has",
        }
    candidate.prepare()
    # A supervisor that is process 1 gets no signal from inside that it has no handler for: Python's own would be one.
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in candidate.IGNORED else signal.SIG_DFL)
    return {}


def _place(have: frozenset[str], proc: int, visible: list[str]) -> Place:
    flags = 0
    if "user_namespaces" in have:
        for name, flag in namespaces.FLAGS.items():
            flags |= flag if name in have else 0
    else:
        have -= namespaces.FLAGS.keys() - {"mount_namespaces"}
    jailed = "mount_namespaces" in have
    return Place(
        have=have,
        proc=proc,
        readable=("/",) if jailed else tuple(visible),
        scratch="mounted here" if flags & sys_.NEW_NS else "none",
        flags=flags,
        parent=os.getpid(),
        filter=make_filter(have) if "seccomp" in have else None,
    )


def _serve_jobs(place: Place, parent: int) -> NoReturn:
    sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
    while True:
        _wait(parent, REQUESTS)
        try:
            (size,) = HEADER.unpack(read_exactly(REQUESTS, HEADER.size))
        except EOFError:
            os._exit(0)
        pid = sys_.clone(place.flags) if place.flags else os.fork()
        if pid == 0:
            serve(place, size)
        status = _wait_for(pid, parent)
        if not place.owns_processes:
            descendants.kill_all(place.proc)
        write_line({"end": os.waitstatus_to_exitcode(status)})
        if status:  # some of the job may still be in the pipe
            os._exit(0)


def _wait_for(pid: int, parent: int) -> int:
    """Wait for the supervisor; its exit status."""
    file = exit_file(pid)
    if file is not None:
        _wait(parent, file)
        os.close(file)
    else:
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            _wait(parent, None, 5)
    return os.waitpid(pid, 0)[1]


def _wait(parent: int, file: int | None, milliseconds: int = 1000) -> None:
    """Wait until the file can be read or, without one, a moment; end this process when its parent is gone.

    The supervisor hears of that end and ends too, and the job with it.
    """
    poller = select.poll()
    poller.register(REQUESTS, 0)  # hears of the other side's closing, whatever is asked for
    if file is not None:
        poller.register(file, select.POLLIN)
    while True:
        events = dict(poller.poll(milliseconds))
        if file in events and events[file] & select.POLLIN:
            return
        # A process that was forked from the parent may keep the pipe open; the parent's death shows all the same.
        if events.get(REQUESTS, 0) & (select.POLLHUP | select.POLLERR) or os.getppid() != parent:
            os._exit(0)
        if file is None:
            return
