"""A stream: requests go out one by one as others come back, and answers are evaluated beside them.

A slot of the sampler is refilled as soon as its completion is there; the evaluation that follows has workers of its
own. What is told when is not decided here but in ``search.window``, so the order of arrival does not matter. One event
loop holds all state; only ``Problem.evaluate`` runs elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from search.contract import check_generation
from search.evaluator_pool import EvaluatorPool
from search.journal import Journal
from search.outcomes import Judged, Outcome
from search.patience import Patience, take
from search.problem_run import ProblemRun, Ticket
from search.records import Generation, Request
from search.retry import Backoff
from search.samplers import StreamingSampler
from search.window import Window
from vpo.infrastructure import RETRIED

Open = tuple[Window, Ticket]

_GRACE_S = 5.0  # for evaluations under way when a run is stopped: what most find is kept, and nobody waits for ever


def restore(windows: Mapping[str, Window], journal: Journal) -> list[Open]:
    """Ask again for what was asked for, and tell what was told.

    Args:
        windows: By problem id.
        journal: The record.

    Returns:
        The requests that are still open, oldest first.

    Raises:
        LedgerError: The record does not fit.
    """
    waiting = {(key, ticket.number): (each, ticket) for key, each in windows.items() for ticket in each.fill()}
    for key in journal.evaluated:
        if key not in waiting:
            raise journal.mismatch(f"generation {key[1]} of problem {key[0]!r} was never asked for")
        window, ticket = waiting.pop(key)
        generation, answers = journal.generation(window.run, ticket), journal.answers(window.run, ticket)
        assert generation is not None and answers is not None
        window.arrived(ticket.number, generation)
        window.turns.over(ticket.number)
        outcome = Outcome(generation, answers, journal.decisions(window.run, ticket))
        for fresh in window.complete(ticket.number, outcome):
            waiting[key[0], fresh.number] = (window, fresh)
    return list(waiting.values())


class Stream:
    """Drives the windows of a run.

    Args:
        sampler: Answers single requests. If it is an asynchronous context, it is entered for the time of the run.
        journal: The record.
        pool: Evaluates.
        max_in_flight: Most requests at the sampler at once.
        may_send: Asked before each request; once it says no, nothing is sent any more.
        on_told: Called after each evaluated completion, with the number of requests at the sampler.
        retry: How patiently a failure of machinery is met.
    """

    def __init__(
        self,
        sampler: StreamingSampler,
        journal: Journal,
        pool: EvaluatorPool,
        *,
        max_in_flight: int,
        may_send: Callable[[], bool],
        on_told: Callable[[int], None],
        retry: Backoff,
    ) -> None:
        self._retry, self._stopped = retry, asyncio.Event()
        self._sampler, self._journal, self._pool = sampler, journal, pool
        self._max_in_flight, self._may_send, self._on_told = max_in_flight, may_send, on_told
        self._queue: deque[Open] = deque()
        self._tasks: dict[Window, dict[int, asyncio.Task[None]]] = {}
        self._generating: dict[Window, set[int]] = {}  # numbers of those whose completion is not there yet
        self._num_generating = 0
        self._evaluating: dict[tuple[str, str], asyncio.Task[float]] = {}  # by problem id and answer key
        self._closed = False
        self._error: BaseException | None = None
        self._idle = asyncio.Event()

    async def run(self, waiting: Sequence[Open]) -> None:
        """Work until nothing is open, or nothing more may be sent.

        When the task is cancelled, or anything fails, requests under way are cut off; evaluations are waited for and
        written down.

        Args:
            waiting: What `restore` found open.
        """
        context: Any = self._sampler if hasattr(self._sampler, "__aenter__") else nullcontext()
        async with context:
            try:
                for window, ticket in waiting:
                    generation = self._journal.generation(window.run, ticket)
                    if generation is not None:
                        window.arrived(ticket.number, generation)
                    if not window.wants(ticket.number):
                        continue
                    if generation is None:
                        self._queue.append((window, ticket))
                    else:
                        self._start(window, ticket, generation)
                self._pump()
                await self._idle.wait()
            finally:
                await self._drain()
        if self._error is not None:
            raise self._error

    def _pump(self) -> None:
        """Send what there is room for."""
        while self._queue and self._num_generating < self._max_in_flight and not self._closed:
            window, ticket = self._queue[0]
            if not window.wants(ticket.number):
                self._queue.popleft()
            elif self._may_send():
                self._queue.popleft()
                self._start(window, ticket, None)
            else:
                self._closed = True
                for window, ticket in self._queue:
                    window.turns.end(ticket.number)
        if not any(self._tasks.values()):
            self._idle.set()

    def _start(self, window: Window, ticket: Ticket, generation: Generation | None) -> None:
        if generation is None:
            self._num_generating += 1
            self._generating.setdefault(window, set()).add(ticket.number)
        task = asyncio.create_task(self._serve(window, ticket, generation))
        self._tasks.setdefault(window, {})[ticket.number] = task
        task.add_done_callback(lambda done: self._ended(window, ticket.number, done))

    def _ended(self, window: Window, number: int, task: asyncio.Task[None]) -> None:
        tasks = self._tasks[window]
        del tasks[number]
        if not tasks:
            del self._tasks[window]
        if number in self._generating.get(window, ()):  # it was cut off, or failed
            self._generated(window, number)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())
        self._pump()

    async def _serve(self, window: Window, ticket: Ticket, generation: Generation | None) -> None:
        """One request from its sending to its telling."""
        run = window.run
        if generation is None:
            generation, seconds = await self._draw(ticket.request)
            check_generation(self._sampler, ticket.request, generation)
            self._journal.write_generation(run, ticket, generation, seconds)
            window.arrived(ticket.number, generation)
            self._generated(window, ticket.number)
            self._pump()
        sifted = await window.sift(ticket, generation)
        if sifted is None:
            return
        self._journal.write_switches(run)
        answers, seconds = await self._judge(run, sifted[0])
        self._journal.write_answers(run, ticket, answers, seconds, sifted[1])
        outcome = Outcome(generation, answers, sifted[1])
        self._queue.extend((window, fresh) for fresh in window.complete(ticket.number, outcome))
        if window.solved:
            self._abort(window)
        self._journal.sync_sometimes()
        self._on_told(self._num_generating)

    async def _draw(self, request: Request) -> tuple[Generation, float]:
        """A completion and the seconds that it took. A request that waits for its next try keeps its slot."""
        patience = Patience(self._retry, f"{type(self._sampler).__name__}.generate")
        while True:
            started = time.perf_counter()
            try:
                return await self._sampler.generate(request), time.perf_counter() - started
            except RETRIED as error:
                await self._pause(patience, error)

    async def _pause(self, patience: Patience, error: Exception) -> None:
        """Wait for the next try; there is none where the run stops."""
        wait = patience.wait_s(error)
        try:
            await asyncio.wait_for(self._stopped.wait(), wait)
        except TimeoutError:
            return
        raise error

    def _generated(self, window: Window, number: int) -> None:
        self._num_generating -= 1
        numbers = self._generating[window]
        numbers.discard(number)
        if not numbers:
            del self._generating[window]

    async def _judge(self, run: ProblemRun, answers: list[tuple[str, str]]) -> tuple[tuple[Judged, ...], float]:
        """Evaluate the answers of a completion; those under way for another one are waited for, not evaluated twice."""
        unknown = run.evaluations.unknown(answers)
        fresh = {key: answer for key, answer in unknown.items() if (run.problem.id, key) not in self._evaluating}
        if fresh:
            job = asyncio.create_task(self._evaluate(run, fresh))
            self._evaluating.update(((run.problem.id, key), job) for key in fresh)
            # Also if nobody waits any more; an error must be seen
            job.add_done_callback(lambda done: self._fail(done.exception()) if not done.cancelled() else None)
        seconds = 0.0
        jobs = {self._evaluating[run.problem.id, key] for key in unknown}
        for job in jobs:
            # Shielded: a request that is cut off must not take along what others wait for
            seconds += await asyncio.shield(job)
        return run.evaluations.judged(answers), seconds

    async def _evaluate(self, run: ProblemRun, answers: Mapping[str, str]) -> float:
        left, seconds = dict(answers), 0.0
        patience = Patience(self._retry, f"evaluate() of problem {run.problem.id!r}")
        try:
            while True:
                tried = await asyncio.wrap_future(self._pool.submit(run.problem, list(left.values())))
                seconds += tried.seconds
                left = take(run, self._journal, left, tried)
                if not left:
                    return seconds
                assert tried.error is not None
                await self._pause(patience, tried.error)
        finally:
            for key in answers:
                del self._evaluating[run.problem.id, key]

    def _abort(self, window: Window) -> None:
        """Cut off the requests of a problem whose outcomes will not be told any more."""
        # Not the task that calls this, and none that was cut off before and is still cleaning up
        superfluous = {
            number: task
            for number, task in self._tasks.get(window, {}).items()
            if not window.wants(number) and task is not asyncio.current_task() and not task.cancelling()
        }
        under_way = [number for number in superfluous if number in self._generating.get(window, ())]
        if under_way:
            self._journal.write_cut_off(window.run, under_way)
        for task in superfluous.values():
            task.cancel()

    def _fail(self, error: BaseException | None) -> None:
        if error is not None:
            self._error = self._error or error
            self._idle.set()

    async def _drain(self) -> None:
        """Stop: no request is sent or waited for any more, evaluations under way are."""
        self._closed = True
        self._stopped.set()
        for window in self._tasks:
            window.turns.end(0)
        for window, numbers in list(self._generating.items()):
            for number in list(numbers):
                self._tasks[window][number].cancel()
        left = [task for tasks in self._tasks.values() for task in tasks.values()]
        if left:
            _, late = await asyncio.wait(left, timeout=_GRACE_S)
            for task in [*late, *self._evaluating.values()]:
                task.cancel()
        self._journal.sync()
