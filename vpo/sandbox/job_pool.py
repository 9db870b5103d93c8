"""What takes jobs and gives results back, on this machine or on several."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from vpo.sandbox.job import Job, Result
from vpo.sandbox.limits import Limits


class JobPool(ABC):
    """Runs code that a model has written. Use it as a context, or call :meth:`close`.

    Attributes:
        limits: Of jobs that bring none of their own.
        reasons: Why each mechanism does not work where jobs run; None where it works.
    """

    limits: Limits
    reasons: dict[str, str | None]

    @abstractmethod
    def submit(self, job: Job) -> Future[tuple[Result, ...]]:
        """Run a job when a worker is free.

        Returns:
            One result a case, in order. An argument that is no JSON value is the future's ValueError.

        Raises:
            RuntimeError: The pool is closed, or belongs to another process.
        """

    @abstractmethod
    def close(self) -> None:
        """End everything; jobs that run are ``infra``, those that wait are cancelled."""

    def run(self, job: Job) -> tuple[Result, ...]:
        """Run a job and wait for it; one result a case."""
        return self.submit(job).result()

    async def run_async(self, job: Job) -> tuple[Result, ...]:
        """Run a job and await it; one result a case."""
        return await asyncio.wrap_future(self.submit(job))

    def map(self, jobs: Iterable[Job]) -> list[tuple[Result, ...]]:
        """Run jobs and wait for all of them.

        Returns:
            In the order of the jobs, one result a case.
        """
        waiting = [self.submit(job) for job in jobs]
        try:
            return [future.result() for future in waiting]
        except BaseException:  # Ctrl-C: what has not begun need not
            for future in waiting:
                future.cancel()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
