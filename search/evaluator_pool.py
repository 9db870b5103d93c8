"""Where answers are evaluated: a bounded pool of workers apart from those that generate.

A sampler never waits for an evaluator, and an evaluator never holds a slot of the sampler. The threads are daemons: an
evaluation that hangs does not keep a run that was stopped from ending.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from search.problem import Problem
from search.records import Evaluation, Vector
from vpo.daemon_threads import DaemonThreads
from vpo.infrastructure import RETRIED


@dataclass(frozen=True)
class Tried:
    """What came of one call of ``evaluate``.

    Attributes:
        found: What it gave; after a failure, one entry for each answer, None for those that were not evaluated.
        seconds: How long it took.
        error: Why some were not, through no fault of theirs; None if there is no such failure.
    """

    found: Sequence[Vector | Evaluation | None]
    seconds: float
    error: Exception | None = None


class EvaluatorPool:
    """Runs ``Problem.evaluate``.

    Args:
        workers: Number of threads; right for evaluators that wait for other processes, as a sandbox does. For pure
            Python, a pool of one's own, such as a ``ProcessPoolExecutor``, which problems must be picklable for.

    Raises:
        ValueError: The number is below 1.
    """

    def __init__(self, workers: int | Executor = 1) -> None:
        self._own = isinstance(workers, int)
        if isinstance(workers, int):
            if workers < 1:
                raise ValueError(f"evaluators is {workers}, expected at least 1 or a pool: 1 evaluates one by one.")
            self.inline = workers == 1
            self._executor: Executor = DaemonThreads(workers, "evaluator")
        else:
            self.inline = False
            self._executor = workers

    def submit(self, problem: Problem, answers: Sequence[str]) -> Future[Tried]:
        """Evaluate answers in the pool."""
        return self._executor.submit(timed_evaluate, problem, answers)

    def __enter__(self) -> EvaluatorPool:
        """Give the pool."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Take no more work; a pool that was given stays open."""
        if self._own:
            self._executor.shutdown(wait=False, cancel_futures=True)


def timed_evaluate(problem: Problem, answers: Sequence[str]) -> Tried:
    """Evaluate answers here and now; a failure of the machinery is noted, any other is raised."""
    started = time.perf_counter()
    try:
        found = list(problem.evaluate(list(answers)))
    except RETRIED as error:
        known = getattr(error, "found", ())
        if len(known) != len(answers):
            known = (None,) * len(answers)
        return Tried(known, time.perf_counter() - started, error)
    return Tried(found, time.perf_counter() - started)
