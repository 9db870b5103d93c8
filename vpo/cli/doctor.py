"""`vpo doctor`: the stack, the machine and the optional parts; what this host lets the sandbox enforce, tried out.

The exit status speaks of the sandbox alone. Whether a version outside its range or a missing GPU matters depends on
what one is about to do.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

from vpo.cli.console import Console
from vpo.sandbox.capabilities import MECHANISMS, unmet
from vpo.sandbox.job import Job, Result
from vpo.sandbox.limits import Limits

_LIMITS = Limits(seconds=2, memory_mb=256, processes=8)

_READ = """
def attempt(path):
    return open(path).read()
"""
_CONNECT = """
import os
import socket
def attempt(port):
    return socket.create_connection(("127.0.0.1", port), timeout=1).recv(1).hex()
"""
_KILL = """
import os, signal
def attempt(process):
    os.kill(process, signal.SIGKILL)
"""
_FORK = """
import os, time
def attempt():
    for count in range(100):
        try:
            if os.fork() == 0:
                time.sleep(9)
        except OSError:
            return count
    return 100
"""


@dataclass(frozen=True)
class Attempt:
    """Code that tries something, and whether it failed to.

    Args:
        name: What it tries.
        job: The code, with one case.
        held: Whether the result, or what became of this machine, shows that the sandbox held.
    """

    name: str
    job: Job
    held: Callable[[Result], bool]


@contextmanager
def attempts() -> Iterator[list[Attempt]]:
    """One attempt for each thing that code must not be able to do, with a file, a server and a process to try it on."""
    with (
        tempfile.NamedTemporaryFile("w") as file,
        socket.create_server(("127.0.0.1", 0)) as server,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
    ):
        os.fchmod(file.fileno(), 0o644)  # readable by whoever can see it
        file.write("secret")
        file.flush()
        port = server.getsockname()[1]
        yield [
            Attempt("read a file", Job(_READ, [[file.name]], "attempt"), lambda found: found.status == "error"),
            Attempt("connect to a server", Job(_CONNECT, [[port]], "attempt"), lambda found: found.status == "error"),
            Attempt("kill a process", Job(_KILL, [[process.pid]], "attempt"), lambda _: process.poll() is None),
            Attempt("start 100 processes", Job(_FORK, [[]], "attempt"), _few_processes),
            Attempt("take 6 GB", Job("bytearray(6 << 30)", [""]), lambda found: found.status == "oom"),
            Attempt("run for ever", Job("while True: pass", [""]), lambda found: found.status == "timeout"),
            Attempt("print for ever", Job("while True: print(9 ** 99)", [""]), lambda found: found.status == "invalid"),
            Attempt("return NaN", Job("def f(): return 1e999 - 1e999", [[]], "f"), lambda r: r.status == "invalid"),
            Attempt("leave a file", Job("open('left', 'w').write('x')", [""]), lambda found: found.status != "infra"),
            Attempt("find it in the next job", Job("open('left')", [""]), lambda found: found.status == "error"),
        ]
        process.kill()


def _few_processes(found: Result) -> bool:
    return found.status == "error" or (found.status == "ok" and found.value < _LIMITS.processes)


def run_doctor(backend: Literal["zygote", "bubblewrap"]) -> int:
    """Print what is here and what is enforced, then try to get out.

    Args:
        backend: Which kind of sandbox.

    Returns:
        0 when all is enforced and every attempt failed, else 1.

    Raises:
        OSError: No sandbox starts here at all.
    """
    from vpo.cli.host import findings_table, machine_findings, optional_findings, stack_findings
    from vpo.sandbox.pool import Sandbox

    console = Console()
    for title, look in (
        ("stack", stack_findings),
        ("machine", machine_findings),
        ("optional parts", optional_findings),
    ):
        console.print(findings_table(title, look()))
    tried = Table("code that tries to", "", title="tried out")
    allow = [f"no_{name}" for name in MECHANISMS]
    with Sandbox(1, _LIMITS, preload=(), allow=allow, backend=backend) as box, attempts() as all_attempts:
        console.print(_mechanisms(box.reasons, backend))
        missing, held = unmet(box.reasons, ()), True
        for attempt in all_attempts:
            found = attempt.held(box.run(attempt.job)[0])
            tried.add_row(attempt.name, "cannot" if found else "CAN", style=None if found else "bold red")
            held &= found
    console.print(tried)
    if missing:
        names = ", ".join(f'"no_{name}"' for name in missing)
        console.print(f"Not all is enforced. Change the host, or allow it by name: Sandbox(allow=({names},)).")
    return 0 if held and not missing else 1


def _mechanisms(reasons: dict[str, str | None], backend: str) -> Table:
    table = Table("mechanism", "here", "what it is for, or what holds without it", title=f"sandbox, backend {backend}")
    for name, mechanism in MECHANISMS.items():
        if (reason := reasons[name]) is None:
            table.add_row(name, "enforced", mechanism.purpose)
        else:
            table.add_row(name, f"not: {reason}", mechanism.without, style="red")
    return table
