"""A child process that is written bytes and answers in lines of JSON, under a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

# What a child may know of our environment: no tokens, no paths of the user's. One thread a library, or forks would lose
# theirs; one seed of hashes, so that a set of strings has the same order in every zygote.
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/box",
    "TMPDIR": "/box",
    "LANG": "C.UTF-8",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",  # else every thread reserves 64 MiB of the address space that a job may use
}
_INHERITED = ("LD_LIBRARY_PATH", "PYTHONHOME")  # without them some interpreters do not start


_END_SECONDS = 5.0  # at most; the kernel ends the job of a dead zygote at once


class Lost(Exception):  # noqa: N818 - it is what happened, not a mistake
    """The child has died, or does not answer in time."""


class Channel:
    """A child and the two pipes to it.

    Args:
        command: What to start. It gets a session of its own, so Ctrl-C in a terminal does not reach it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        environment = _ENVIRONMENT | {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True, bufsize=0
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        self._buffer, self._closed = bytearray(), False

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def exchange(self, data: bytes, deadline: float) -> Iterator[dict[str, Any]]:
        """Write, and read objects at the same time.

        Args:
            data: To write.
            deadline: Of ``time.monotonic()``.

        Yields:
            Each line that is a JSON object; the caller stops when it has what it wants.

        Raises:
            Lost: The child closed its side, or the deadline is over.
        """
        if self._closed:  # its descriptors may be another file's by now
            raise Lost("the process was ended")
        left, searched = memoryview(data), 0
        poller = select.poll()
        poller.register(self._output, select.POLLIN)
        if left:
            poller.register(self._input, select.POLLOUT)
        while True:
            while (end := self._buffer.find(b"\n", searched)) >= 0:
                line, searched = self._buffer[:end], 0
                del self._buffer[: end + 1]
                with contextlib.suppress(ValueError):  # a line that broke off when a supervisor was killed
                    if line and isinstance(found := json.loads(line), dict):
                        yield found
            searched = len(self._buffer)
            wait = deadline - time.monotonic()
            if wait <= 0:
                raise Lost("no answer in time")
            for file, _ in poller.poll(wait * 1000 + 1):
                try:
                    if file == self._input:
                        left = left[os.write(file, left) :]
                        if not left:
                            poller.unregister(file)
                    else:
                        chunk = os.read(file, 1 << 16)
                        if not chunk:
                            raise Lost("the process ended")
                        self._buffer += chunk
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    poller.unregister(file)  # what it has still said can be read

    def send(self, data: bytes, deadline: float) -> None:
        """Write in the middle of an exchange, whose own data is written.

        Args:
            data: A few bytes.
            deadline: Of ``time.monotonic()``.

        Raises:
            Lost: The child does not read in time. One that has died is heard of by who reads.
        """
        left = memoryview(data)
        poller = select.poll()
        poller.register(self._input, select.POLLOUT)
        while left:
            wait = deadline - time.monotonic()
            if wait <= 0:
                raise Lost("no answer in time")
            try:
                left = left[os.write(self._input, left) :]
            except BlockingIOError:
                poller.poll(wait * 1000 + 1)
            except BrokenPipeError:
                return

    def kill(self) -> None:
        """End the child; what it started hears of that from the kernel, and ends too."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the child, wait for what it started to let go of the pipe, and give that back.

        Only the thread that exchanges may do so.
        """
        self.kill()
        if self._closed:
            return
        self._closed = True
        poller = select.poll()
        poller.register(self._output, 0)  # hears when the last writer has closed it
        poller.poll(_END_SECONDS * 1000)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
