"""Where a job goes to be run: the parent's side of a zygote.

A backend makes such workers. For several machines see :mod:`vpo.sandbox.ray_pool`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from vpo.sandbox.capabilities import NotEnforced, check_allowed, unmet
from vpo.sandbox.channel import Channel, Lost
from vpo.sandbox.dialogue import HEADER, converse
from vpo.sandbox.zygote import boot_command

_START_SECONDS = 120.0  # imports, on a machine that is busy with others
GRACE_SECONDS = 60.0  # for the forks and the JSON of a job; only a worker that hangs needs as long


@dataclass(frozen=True)
class Settings:
    """What all workers of a sandbox have in common; see :class:`vpo.sandbox.Sandbox`."""

    preload: Sequence[str] = ()
    readable: Sequence[str] = ()
    allow: Sequence[str] = ()

    @classmethod
    def checked(
        cls, preload: Sequence[str], readable: Sequence[str | os.PathLike[str]], allow: Sequence[str]
    ) -> Settings:
        """Settings as a user gives them.

        Raises:
            ValueError: One of them makes no sense.
        """
        check_allowed(allow)
        paths = tuple(os.path.abspath(path) for path in readable)
        if "/" in paths:
            raise ValueError("readable names /: expected what the code needs. All of this machine is no sandbox.")
        return cls(tuple(preload), paths, tuple(allow))


class Worker(Protocol):
    """Runs one job at a time, for one thread at a time; only :meth:`kill` may come from another."""

    def wait_until_ready(self) -> dict[str, str | None]:
        """Wait until jobs can come.

        Returns:
            Why each mechanism does not work where this worker is; None where it works.

        Raises:
            NotEnforced: The host does not enforce something that was not allowed to be missing.
            OSError: It cannot start.
        """
        ...

    def run(self, payload: bytes, seconds: float, turns: Sequence[Sequence[str]] = ()) -> Iterator[dict[str, Any]]:
        """Run a job.

        Args:
            payload: From :meth:`vpo.sandbox.Job.payload`.
            seconds: The longest that its cases may take.
            turns: Lines of each case of a dialogue.

        Yields:
            The supervisor's record of each case, in order.

        Raises:
            Lost: The job has no end; the worker needs a restart.
        """
        ...

    def restart(self) -> None:
        """Begin afresh after a loss.

        Raises:
            OSError: That is not possible.
        """
        ...

    def kill(self) -> None:
        """Break off what runs, for good."""
        ...

    def close(self) -> None:
        """End for good."""
        ...


class Backend(Protocol):
    """Makes workers."""

    def start(self, settings: Settings) -> Worker:
        """Begin to start a worker, without waiting for it."""
        ...


def read_report(channel: Channel, allow: Sequence[str]) -> dict[str, str | None]:
    """The first thing that a zygote says: what this host enforces, and whether it is ready.

    Returns:
        Why each mechanism does not work; None where it works.

    Raises:
        NotEnforced: Something is missing that was not allowed to be.
        OSError: It is not ready for another reason.
    """
    try:
        report = next(channel.exchange(b"", time.monotonic() + _START_SECONDS))
    except Lost as error:
        raise OSError(f"the sandbox does not start: {error}. What it said stands above, on standard error.") from error
    if missing := unmet(report["reasons"], allow):
        raise NotEnforced(missing)
    if not report["ready"]:
        raise OSError(f"{report['failed']}. Mend it, or leave it out: Sandbox(preload=()).")
    reasons: dict[str, str | None] = report["reasons"]
    return reasons


class ZygoteWorker:
    """A zygote on this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._lock, self._killed = settings, threading.Lock(), False
        self._channel = self._start()

    @property
    def pid(self) -> int:
        """Process id of the zygote."""
        return self._channel.pid

    def wait_until_ready(self) -> dict[str, str | None]:
        """Wait for its report; see :class:`Worker`."""
        return read_report(self._channel, self._settings.allow)

    def run(self, payload: bytes, seconds: float, turns: Sequence[Sequence[str]] = ()) -> Iterator[dict[str, Any]]:
        """Run a job; see :class:`Worker`."""
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        records = self._channel.exchange(HEADER.pack(len(payload)) + payload, deadline)
        for record in converse(records, lambda data: self._channel.send(data, deadline), turns):
            if "end" in record:
                if record["end"] != 0:
                    raise Lost(f"the supervisor ended with status {record['end']}")
                return
            yield record

    def restart(self) -> None:
        """Replace the zygote; see :class:`Worker`."""
        self._channel.close()
        with self._lock:
            if self._killed:
                raise Lost("the sandbox was closed")
            self._channel = self._start()
        self.wait_until_ready()

    def kill(self) -> None:
        """End the zygote, and with it the job that runs; see :class:`Worker`."""
        with self._lock:
            self._killed = True
            self._channel.kill()

    def close(self) -> None:
        """End the zygote; see :class:`Worker`."""
        self.kill()
        self._channel.close()

    def _start(self) -> Channel:
        return Channel(boot_command("vpo.sandbox.zygote", asdict(self._settings)))


class ZygoteBackend:
    """Zygotes on this machine."""

    def start(self, settings: Settings) -> ZygoteWorker:
        """Start one."""
        return ZygoteWorker(settings)
