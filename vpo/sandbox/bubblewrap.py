"""The sandbox on bubblewrap (``bwrap``): for hosts where that program may make namespaces and nobody else may.

Each job gets an interpreter of its own in a jail that bwrap builds, and the supervisor is its process 1; from there
on all is as in a zygote's job. What differs: an interpreter, and the modules that the code names, are started for
every job, which takes tenths of a second; and as root the kernel does not limit the number of processes, since bwrap
cannot become nobody.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from vpo.sandbox import jail, namespaces
from vpo.sandbox.capabilities import MECHANISMS
from vpo.sandbox.channel import Channel, Lost
from vpo.sandbox.dialogue import HEADER, converse
from vpo.sandbox.place import Place, make_filter
from vpo.sandbox.supervisor import REQUESTS, read_exactly, serve, write_line
from vpo.sandbox.worker import GRACE_SECONDS, Settings, read_report
from vpo.sandbox.zygote import ROOT, boot_command, hidden_paths, preload

_GIVEN = ("user_namespaces", "mount_namespaces", "pid_namespaces", "network_namespaces", "ipc_namespaces")
_OPTIONS = (
    *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *("--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox"),
    *("--proc", "/proc"),  # for the supervisor; Landlock keeps candidates out
)
# What the interpreter starts with.
_OUR_OWN = tuple(f"{ROOT}/vpo/{part}" for part in ("__init__.py", "first_use.py", "sandbox"))


def main(text: str) -> NoReturn:
    """Be what bwrap starts: a supervisor, or the one that tries out what such a supervisor has.

    Args:
        text: JSON object with ``have`` (mechanisms, or None to find out), ``readable`` and ``preload``.
    """
    settings = json.loads(text)
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if settings["have"] is None:
        found = dict.fromkeys(_GIVEN) | namespaces.limits_reasons(proc, lambda: None, others=1)
        write_line({"reasons": found, "ready": True} | preload(settings["preload"], proc))
        os._exit(0)
    have = frozenset(settings["have"])
    place = Place(
        have, proc, tuple(settings["readable"]), "given", filter=make_filter(have) if "seccomp" in have else None
    )
    (size,) = HEADER.unpack(read_exactly(REQUESTS, HEADER.size))
    preload(settings["preload"], proc)
    serve(place, size)


def command(program: str, settings: dict[str, Any], visible: Sequence[str], files_mb: int) -> list[str]:
    """The bwrap command that runs :func:`main` in a jail that shows ``visible``, and a folder of ``files_mb`` MiB."""
    words = [program, *_OPTIONS]
    for path in jail.ROOT_FOLDERS:
        words += ["--symlink", os.readlink(path), path] if os.path.islink(path) else []
    for path in visible:
        words += ["--ro-bind", path, path]
    for path in hidden_paths():
        words += ["--tmpfs", path] if any(path.startswith(f"{other}/") for other in visible) else []
    for path in jail.DEVICES:
        words += ["--dev-bind", path, path]
    for path in _OUR_OWN:
        words += ["--ro-bind", path, path]
    words += ["--size", str(files_mb << 20), "--tmpfs", jail.SCRATCH]
    for link in ("/tmp", "/dev/shm"):
        if not any(path.startswith(f"{link}/") for path in (*visible, *_OUR_OWN)):
            words += ["--symlink", jail.SCRATCH, link]
    return [*words, *boot_command("vpo.sandbox.bubblewrap", settings)]


class BubblewrapWorker:
    """Starts one bwrap after another; see :class:`vpo.sandbox.worker.Worker`."""

    def __init__(self, settings: Settings) -> None:
        program = shutil.which("bwrap")
        if program is None:
            raise OSError("there is no bwrap: install the package bubblewrap, or use Sandbox(backend='zygote').")
        self._program, self._settings, self._lock = program, settings, threading.Lock()
        self._visible = jail.visible_paths(settings.readable)
        self._have: list[str] | None = None
        self._killed = False
        self._channel = self._start([*settings.preload], 1)

    def wait_until_ready(self) -> dict[str, str | None]:
        """Wait for the report of what a job has here."""
        reasons = read_report(self._channel, self._settings.allow)
        self._have = [name for name in MECHANISMS if reasons[name] is None]
        return reasons

    def run(self, payload: bytes, seconds: float, turns: Sequence[Sequence[str]] = ()) -> Iterator[dict[str, Any]]:
        """Run a job in a bwrap of its own."""
        job = json.loads(payload)
        self.restart()
        with self._lock:
            if self._killed:
                raise Lost("the sandbox was closed")
            named = [name for name in self._settings.preload if name in job["code"]]
            self._channel = self._start(named, job["limits"]["files_mb"])
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        records = self._channel.exchange(HEADER.pack(len(payload)) + payload, deadline)
        answers = converse(records, lambda data: self._channel.send(data, deadline), turns)
        for _ in job["cases"]:
            yield next(answers)

    def restart(self) -> None:
        """Let go of the last interpreter: every job has a new one."""
        self._channel.close()

    def kill(self) -> None:
        """End what runs, for good."""
        with self._lock:
            self._killed = True
            self._channel.kill()

    def close(self) -> None:
        """End for good."""
        self.kill()
        self._channel.close()

    def _start(self, modules: list[str], files_mb: int) -> Channel:
        settings = asdict(self._settings) | {"have": self._have, "preload": modules, "readable": self._visible}
        return Channel(command(self._program, settings, self._visible, files_mb))


class BubblewrapBackend:
    """Makes workers that use bwrap."""

    def start(self, settings: Settings) -> BubblewrapWorker:
        """Start one."""
        return BubblewrapWorker(settings)
