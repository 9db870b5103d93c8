"""A sandbox: jobs in, results out, whatever happens in between.

Threads of this process each hold a zygote for the length of a job. A zygote that dies or does not answer is replaced,
and its job is run once more; what fails twice is ``infra``. The threads are daemons: a process that ends waits for no
job, and its zygotes end with it.
"""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Literal

from vpo.daemon_threads import DaemonThreads
from vpo.sandbox.channel import Lost
from vpo.sandbox.job import Job, Result
from vpo.sandbox.job_pool import JobPool
from vpo.sandbox.limits import Limits
from vpo.sandbox.verdict import verdict
from vpo.sandbox.worker import Backend, Settings, Worker, ZygoteBackend

_TRIES = 2


class Sandbox(JobPool):
    """Runs code that a model has written.

    Use it as a context, or call :meth:`close`. It may be used by several threads, and from an event loop; not from a
    process that was forked from the one that made it.

    Attributes:
        limits: As given.
        reasons: Why each mechanism does not work on this host; None where it works.

    Args:
        workers: Jobs that run at the same time; None for one on each core that this process may use. With two a core
            short jobs fill each other's gaps, and long ones take each other's time.
        limits: Of jobs that bring none of their own.
        preload: Modules that code finds imported; they cost their time once, not in every job.
        readable: Further paths that code may read. Started by root, jobs are nobody, and read what everybody may.
        allow: What this host need not enforce, such as ``no_landlock``; see ``vpo doctor``.
        backend: ``zygote``; ``bubblewrap``, which starts an interpreter a job through ``bwrap``, for hosts where only
            that program may make namespaces; or an object that makes workers, such as actors on other machines.

    Raises:
        NotEnforced: This host does not enforce something, and it was not allowed by name.
        OSError: This is not Linux, or a module cannot be imported inside.
        ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits | None = None,
        *,
        preload: Sequence[str] = ("numpy",),
        readable: Sequence[str | os.PathLike[str]] = (),
        allow: Sequence[str] = (),
        backend: Literal["zygote", "bubblewrap"] | Backend = "zygote",
    ) -> None:
        if sys.platform != "linux":
            raise OSError(f"the sandbox is made of Linux namespaces: expected Linux, found {sys.platform}.")
        num = len(os.sched_getaffinity(0)) if workers is None else workers
        if num < 1:
            raise ValueError(f"workers is {num}: expected 1 or more.")
        settings = Settings.checked(preload, readable, allow)
        self.limits = limits or Limits()
        self._closed, self._pid = False, os.getpid()
        maker = _backend(backend)
        self.reasons: dict[str, str | None] = {}
        self._workers: list[Worker] = []
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        try:
            for _ in range(num):  # all of them start at the same time,
                self._workers.append(maker.start(settings))
            for worker in self._workers:  # and then they are waited for
                self.reasons = worker.wait_until_ready()
                self._idle.put(worker)
        except BaseException:
            for worker in self._workers:
                worker.close()
            raise
        self._threads = DaemonThreads(num, "sandbox")

    def submit(self, job: Job) -> Future[tuple[Result, ...]]:
        """Run a job when a worker is free; see :meth:`JobPool.submit`."""
        if self._pid != os.getpid():
            raise RuntimeError("this sandbox belongs to the process that this one was forked from: make one here.")
        if self._closed:
            raise RuntimeError("this sandbox is closed: make another one, or keep its context open.")
        return self._threads.submit(self._run, job)

    def close(self) -> None:
        """End everything; jobs that run are ``infra``, those that wait are cancelled."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)  # first, or a thread whose job ends takes up the next
        for worker in self._workers:
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.close()

    def _run(self, job: Job) -> tuple[Result, ...]:
        limits = job.limits or self.limits
        payload = job.payload(limits)  # here and not when it is submitted: thousands of jobs may wait
        worker = self._idle.get()
        results: list[Result] = []
        try:
            for _ in range(_TRIES):
                results = []
                try:
                    more = () if job.turns is None else (job.turns,)
                    for record in worker.run(payload, limits.longest(len(job.cases)), *more):
                        results.append(verdict(record, job.entry is not None, limits))
                    reason = "the supervisor left cases out"
                except (Lost, OSError) as error:
                    reason = str(error)
                if len(results) == len(job.cases) and all(result.status != "infra" for result in results):
                    break
                if self._closed:
                    reason = "the sandbox was closed"
                    break
                try:
                    worker.restart()
                except (Lost, OSError) as error:
                    reason = str(error)
                    break
            missing = len(job.cases) - len(results)
            return (*results, *[Result("infra", detail=reason)] * missing)
        finally:
            self._idle.put(worker)


def _backend(backend: str | Backend) -> Backend:
    if backend == "zygote":
        return ZygoteBackend()
    if backend == "bubblewrap":
        from vpo.sandbox.bubblewrap import BubblewrapBackend

        return BubblewrapBackend()
    if isinstance(backend, str):
        raise ValueError(f"backend is {backend!r}: expected 'zygote', 'bubblewrap', or an object that makes workers.")
    return backend
