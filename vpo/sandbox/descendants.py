"""The processes that come from this one: how many, how much memory, and their end where no namespace brings it.

Read from ``/proc`` through a descriptor that was opened before the jail closed; the processes that are looked at have
no ``/proc`` themselves.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal

_PAGE = resource.getpagesize()


def _read(proc: int, path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)


def _tasks(proc: int, process: str) -> list[str]:
    folder = os.open(f"{process}/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)


def memory(proc: int, process: str = "self") -> tuple[int, int]:
    """Bytes of address space and of resident memory of a process."""
    fields = _read(proc, f"{process}/statm").split()
    return int(fields[0]) * _PAGE, int(fields[1]) * _PAGE


def walk(proc: int) -> list[tuple[str, int]]:
    """All descendants of this process: process id, as this ``/proc`` numbers them, and number of threads.

    Those that end while the list is made may be missing from it.

    Raises:
        FileNotFoundError: The kernel does not list children (CONFIG_PROC_CHILDREN).
    """
    found: list[tuple[str, int]] = []
    queue = ["self"]
    while queue:
        process = queue.pop()
        try:
            tasks = _tasks(proc, process)
            for task in tasks:
                queue += _read(proc, f"{process}/task/{task}/children").decode().split()
        except (FileNotFoundError, ProcessLookupError):
            if process == "self":
                raise
            continue
        if process != "self":
            found.append((process, len(tasks)))
    return found


def usage(proc: int, baseline: int) -> tuple[int, int]:
    """What the descendants use together.

    Args:
        proc: Descriptor of ``/proc``.
        baseline: Resident bytes that each of them shares with this process.

    Returns:
        Number of threads, and resident bytes above the baseline.
    """
    threads = resident = 0
    for process, count in walk(proc):
        threads += count
        with contextlib.suppress(OSError, IndexError):  # ended meanwhile
            resident += max(0, memory(proc, process)[1] - baseline)
    return threads, resident


def kill_all(proc: int) -> None:
    """Kill every descendant and every child that one leaves behind; this process must be their reaper."""
    while found := walk(proc):
        for process, _ in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def parent(proc: int) -> int:
    """Process id of this process's parent, as ``/proc`` numbers it."""
    return int(_read(proc, "self/stat").rpartition(b")")[2].split()[1])


def num_threads(proc: int) -> int:
    """Threads of this process."""
    return len(_tasks(proc, "self"))
