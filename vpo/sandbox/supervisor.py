"""The process that looks after one job: it forks for every case, watches it, and writes down what became of it.

It never runs the code, and where there are process namespaces it is process 1 of the job's: no signal from inside
reaches it, it may kill all that it sees, and its own death is the death of all. What it writes are facts (exit
status, signals, bytes); the caller judges them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from vpo.sandbox import candidate, descendants, jail
from vpo.sandbox.dialogue import Handover
from vpo.sandbox.limits import Limits
from vpo.sandbox.place import Place

REQUESTS, REPLIES = 0, 1
FAILED = 70  # exit status of a supervisor or candidate in which our own code failed
_STDERR_BYTES = 2048
_MESSAGE_SLACK = 1 << 16  # the candidate's own words around a result; it keeps the limit of the result itself
_LOOK_SECONDS = 0.05
_START_SECONDS = 30.0  # for our own steps before the code, on a machine that is busy with others


def read_exactly(file: int, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: The other side closed before.
    """
    parts = []
    while size:
        part = os.read(file, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_line(record: dict[str, Any]) -> None:
    """One line of JSON to the caller; on a line of its own even if another process broke off in the middle of one."""
    data = b"\n" + json.dumps(record).encode() + b"\n"
    while data:
        data = data[os.write(REPLIES, data) :]


def serve(place: Place, size: int) -> NoReturn:
    """Take one job of ``size`` bytes from the caller, run its cases, and end the process.

    The zygote does not read the job, so the memory that later jobs are forked from never holds an earlier one.
    """
    try:
        job = json.loads(read_exactly(REQUESTS, size))
        limits = Limits(**job["limits"])
        rules = place.settle(limits)
        end = time.monotonic() + (math.inf if limits.job_seconds is None else limits.job_seconds)
        for case in job["cases"]:
            write_line(_Case(place, rules, job, limits).run(case, end))
        os._exit(0)
    except (EOFError, BrokenPipeError):  # the caller is gone
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)


class _Stream:
    """Bytes of a pipe: the first ``most``, the last, or none."""

    def __init__(self, pipe: int, most: int, keep: str = "first") -> None:
        self.pipe, self.most, self.keep, self.data = pipe, most, keep, bytearray()

    def take(self) -> int:
        """Read what is there; how much it was."""
        chunk = os.read(self.pipe, 1 << 16)
        if self.keep == "last" or (self.keep == "first" and not self.is_over):
            self.data += chunk
        if self.keep == "last":
            del self.data[: -self.most]
        return len(chunk)

    @property
    def is_over(self) -> bool:
        return self.keep == "first" and len(self.data) > self.most

    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class _Case:
    """One case of a job, from the fork to the last process reaped."""

    def __init__(self, place: Place, rules: int | None, job: dict[str, Any], limits: Limits) -> None:
        self.place, self.rules, self.limits = place, rules, limits
        self.code: str = job["code"]
        self.entry: str | None = job["entry"]
        self.is_dialogue = bool(job.get("dialogue"))
        self.baseline = descendants.memory(place.proc)
        self.began: float | None = None  # when the code began, by the candidate's word

    def run(self, case: Any, end: float) -> dict[str, Any]:
        """Run it; the record of its end."""
        start = time.monotonic()
        if start >= end:
            return {"stopped": "job time", "seconds": 0.0, "stdout": "", "stderr": ""}
        stdin, to = os.pipe() if self.is_dialogue else (os.memfd_create("stdin"), None)
        if self.entry is None:
            with os.fdopen(os.dup(stdin), "wb") as file:
                file.write(case.encode("utf-8", "surrogatepass"))
            os.lseek(stdin, 0, os.SEEK_SET)
        pipes = [os.pipe() for _ in range(3)]
        pid = os.fork()
        if pid == 0:
            self._become_candidate(case, stdin, *(write for _, write in pipes))
        os.close(stdin)
        for _, write in pipes:
            os.close(write)
        out, err, message = (read for read, _ in pipes)
        printed: _Stream | Handover
        if to is not None:
            printed = Handover(out, to, self.limits.output_bytes, write_line, lambda size: read_exactly(REQUESTS, size))
        else:
            printed = _Stream(out, self.limits.output_bytes, "first" if self.entry is None else "none")
        streams: list[_Stream | Handover] = [
            printed,
            _Stream(err, _STDERR_BYTES, "last"),
            _Stream(message, self.limits.output_bytes + _MESSAGE_SLACK),
        ]
        stopped = self._watch(pid, streams, end)
        seconds = time.monotonic() - (self.began or start)
        status, usage = self._kill_and_reap(pid)
        if self.place.scratch != "none":
            jail.empty_scratch()
        for stream in streams:
            while stream.take():  # all writers are dead, so this ends
                pass
            os.close(stream.pipe)
        if isinstance(printed, Handover):
            printed.close()
        if stopped is None and any(stream.is_over for stream in streams):
            stopped = "output"
        return {
            "stopped": stopped,
            "exit": os.waitstatus_to_exitcode(status),
            "seconds": seconds,
            "cpu": usage.ru_utime + usage.ru_stime,
            **dict(zip(("stdout", "stderr", "message"), (stream.text() for stream in streams), strict=True)),
        }

    def _become_candidate(self, case: Any, stdin: int, stdout: int, stderr: int, message: int) -> NoReturn:
        try:
            os.setsid()
            self.place.confine(self.rules, self.baseline[0], self.limits)
            candidate.wire(stdin, stdout, stderr, message)
            folder = "/" if self.place.scratch == "none" else jail.SCRATCH
            candidate.run(self.code, self.entry, case, self.limits, folder)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(FAILED)

    def _watch(self, pid: int, streams: Sequence[_Stream | Handover], end: float) -> str | None:
        """Read until the process ends; why it must be stopped, if it must."""
        poller = select.poll()
        by_pipe = {stream.pipe: stream for stream in streams}
        for pipe in by_pipe:
            poller.register(pipe, select.POLLIN)
        ended = exit_file(pid)
        if ended is not None:
            poller.register(ended, select.POLLIN)
        next_look = time.monotonic() + _LOOK_SECONDS
        deadline, late = time.monotonic() + _START_SECONDS, "start"
        try:
            while (now := time.monotonic()) < min(deadline, end):
                wait = min(deadline, end, next_look) - now if ended is not None else 0.005
                for file, _ in poller.poll(math.ceil(max(wait, 0) * 1000)):
                    if file == ended:
                        return None
                    stream = by_pipe[file]
                    if not stream.take():
                        poller.unregister(file)
                    elif stream.is_over:
                        return "output"
                    if isinstance(stream, Handover):
                        deadline += stream.take_waited()
                if self.began is None and streams[-1].data:
                    self.began = time.monotonic()
                    deadline, late = self.began + self.limits.seconds, "time"
                if ended is None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return None
                if time.monotonic() >= next_look:
                    if over := self._over_limit():
                        return over
                    next_look = time.monotonic() + _LOOK_SECONDS
            return late if deadline <= end else "job time"
        finally:
            if ended is not None:
                os.close(ended)

    def _over_limit(self) -> str | None:
        if "memory_watch" not in self.place.have:
            return None
        threads, resident = descendants.usage(self.place.proc, self.baseline[1])
        if threads > self.limits.processes:
            return "processes"
        return "memory" if resident > self.limits.memory_mb << 20 else None

    def _kill_and_reap(self, pid: int) -> tuple[int, resource.struct_rusage]:
        """Kill every process of the job, and wait until each is gone; how the first ended."""
        os.kill(pid, signal.SIGKILL)  # no harm to one that has ended: it is not reaped yet
        _, status, usage = os.wait4(pid, 0)
        if not self.place.owns_processes:
            descendants.kill_all(self.place.proc)
        else:
            with contextlib.suppress(ChildProcessError):
                while True:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(-1, signal.SIGKILL)
                    os.waitpid(-1, 0)
        return status, usage


def exit_file(pid: int) -> int | None:
    """A descriptor that can be read when the process ends; None before kernel 5.3."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
