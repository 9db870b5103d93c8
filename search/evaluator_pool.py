"""Where answers are evaluated: a bounded pool of workers apart from those that generate.

A sampler never waits for an evaluator, and an evaluator never holds a slot of the sampler.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from search.problem import Problem
from search.records import Evaluation, Vector

Found = tuple[Sequence[Vector | Evaluation], float]
"""What ``evaluate`` gave, and how many seconds it took."""


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
            self._executor: Executor = ThreadPoolExecutor(workers, thread_name_prefix="evaluator")
        else:
            self.inline = False
            self._executor = workers

    def submit(self, problem: Problem, answers: Sequence[str]) -> Future[Found]:
        """Evaluate answers in the pool."""
        return self._executor.submit(timed_evaluate, problem, answers)

    def __enter__(self) -> EvaluatorPool:
        """Give the pool."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Take no more work; a pool that was given stays open."""
        if self._own:
            self._executor.shutdown(wait=False, cancel_futures=True)


def timed_evaluate(problem: Problem, answers: Sequence[str]) -> Found:
    """Evaluate answers here and now."""
    started = time.perf_counter()
    found = list(problem.evaluate(list(answers)))
    return found, time.perf_counter() - started
