"""The sandbox that the problems of a process share: started when it is first needed, closed when the process ends."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache

from vpo.infrastructure import InfrastructureError
from vpo.sandbox import Job, Result, Sandbox

_PRELOAD = ("numpy", "scipy.optimize")  # what candidates import most; else every job would take a second for it


class SandboxFailure(InfrastructureError):  # noqa: N818 - it says what happened
    """The sandbox could not run a candidate, through no fault of the candidate's: no score would be right."""


def shared_sandbox() -> Sandbox:
    """The one of this process; a forked process gets its own.

    Raises:
        NotEnforced: This host cannot confine code; ``vpo doctor`` says what is missing. Make a `vpo.sandbox.Sandbox`
            that allows it by name, and give it to the problem.
    """
    return _box(os.getpid())


def run_jobs(jobs: Sequence[Job], sandbox: Sandbox | None = None) -> list[tuple[Result, ...]]:
    """Run jobs at the same time, as far as there are workers, and wait for all of them.

    Args:
        jobs: What to run.
        sandbox: Where; by default in the shared one.

    Returns:
        In the order of the jobs, one result a case; see :func:`failure` for those that could not be run.
    """
    box = sandbox or shared_sandbox()
    waiting: list[Future[tuple[Result, ...]]] = [box.submit(job) for job in jobs]
    return [future.result() for future in waiting]


def failure(results: Sequence[Result]) -> SandboxFailure | None:
    """Why a candidate has no score though it is not to blame; None if all its cases were run."""
    for result in results:
        if result.status == "infra":
            return SandboxFailure(
                f"the sandbox could not run a candidate ({result.detail}): expected it to. The candidate is not to "
                "blame, so it has no score; see `vpo doctor`."
            )
    return None


@lru_cache(maxsize=1)
def _box(process: int) -> Sandbox:
    box = Sandbox(preload=_PRELOAD)
    atexit.register(box.close)
    return box
