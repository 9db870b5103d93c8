"""A scorer in a process of its own, which can be stopped: simplifying a short formula can take sympy for ever.

Of random formulas of 40 characters or so, some take minutes. The clock is the child's own processor time, so that a
busy machine does not turn right answers into wrong ones; what does not answer to that, in one long operation, is killed
by the parent's clock. An answer that takes too long is judged as no answer would be.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

from vpo.tasks.reasoning_gym.entries import unpack
from vpo.tasks.reasoning_gym.generators import child_environment, make_generator, own_randomness

CPU_SECONDS = 2.0
_WALL_SECONDS = 60.0  # of a child that is not even asked about its processor time, or still imports
_MEMORY = 4 << 30


class _TooLongError(BaseException):
    """Not an Exception: sympy catches those and goes on with something else."""


class Referee:
    """Judges answers to the entries of one generator, each within a limit of processor time.

    Args:
        name: Of the generator.
        config: Its options.
    """

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self._first_line = json.dumps([name, dict(config)])
        self._child: subprocess.Popen[str] | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def score(self, answer: str | None, entry: str) -> float:
        """What the generator's scorer says; 0 if it fails or takes too long.

        Args:
            answer: Text, or None.
            entry: As `pack` made it.
        """
        with self._lock:
            try:
                said = self._ask(json.dumps([answer, entry]))
            except OSError:  # the pipe is broken: it ran out of memory
                said = ""
            if not said:
                self.close()
            return float(said or 0.0)

    def close(self) -> None:
        """End the child; the next answer starts another."""
        child, self._child = self._child, None
        if child is not None and self._pid == os.getpid():
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            atexit.unregister(self.close)

    def _ask(self, line: str) -> str:
        if self._child is None or self._pid != os.getpid() or self._child.poll() is not None:
            self._start()
        assert self._child is not None and self._child.stdin is not None and self._child.stdout is not None
        return _exchange(self._child.stdin, self._child.stdout, line)

    def _start(self) -> None:
        self.close()
        command = [sys.executable, "-c", f"from {__name__} import _main; _main()"]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=child_environment()
        )
        self._pid = os.getpid()
        atexit.register(self.close)
        assert self._child.stdin is not None and self._child.stdout is not None
        if not _exchange(self._child.stdin, self._child.stdout, self._first_line):
            raise OSError("the scorer did not start: expected its first word. What it said stands above.")


def _exchange(to: IO[str], back: IO[str], line: str) -> str:
    """Send a line and read one; empty if there is none in time."""
    to.write(line + "\n")
    to.flush()
    ready, _, _ = select.select([back], [], [], _WALL_SECONDS)
    return back.readline().strip() if ready else ""


def _main() -> None:
    """The child: the generator first, then one score for each line."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; the end of the pipe is ours
    out = sys.stdout  # what a scorer prints is no score
    name, config = json.loads(sys.stdin.readline())
    generator = make_generator(name, config, seed=0, size=1)
    print("ready", file=out, flush=True)
    signal.signal(signal.SIGVTALRM, _raise)
    for line in sys.stdin:
        answer, entry = json.loads(line)
        try:
            # Again and again, since a scorer's own bare except may swallow the first one.
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS, 0.5)
            with own_randomness("score"):
                value = float(generator.score_answer(answer, unpack(entry)))
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except (Exception, _TooLongError):
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            value = 0.0
        print(value, file=out, flush=True)


def _raise(*_: Any) -> None:
    raise _TooLongError
