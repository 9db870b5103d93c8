"""Rounds: every problem asks, ONE call samples for all of them, everything is evaluated, everything is told.

That fills a GPU, which a single problem cannot, and is reproducible without further ado. With ``overlap``, a round is
asked for before the one before it is told, so that sampling goes on while answers are evaluated: as reproducible, and
what a procedure knows is one round older.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from search.contract import check_batch
from search.evaluator_pool import EvaluatorPool, Tried, timed_evaluate
from search.journal import Journal
from search.outcomes import Outcome
from search.patience import Patience, take
from search.problem_run import ProblemRun, Ticket
from search.records import Generation, Request
from search.retry import Backoff
from search.samplers import Sampler
from search.screening.decisions import Decision
from vpo.infrastructure import RETRIED


@dataclass
class _Round:
    """One round on its way.

    Attributes:
        number: From 0.
        asked: Tickets of each problem.
        generations: What came back, by request id.
        cut: Some requests were not sent, because the time is over or nothing is sent at all.
        num_replayed: Completions that came from the ledger.
    """

    number: int
    asked: list[tuple[ProblemRun, list[Ticket]]]
    generations: dict[int, Generation] = field(default_factory=dict)
    cut: bool = False
    num_replayed: int = 0


class Rounds:
    """Plays rounds until no problem asks for more.

    Args:
        runs: The problems.
        sampler: Answers the requests of a round; None sends nothing and evaluates nothing, but tells what is recorded.
        journal: The record.
        pool: Evaluates; the problems of a round side by side if it has several workers.
        batch: Most requests of one problem in a round.
        overlap: Sample a round while the one before it is evaluated.
        may_send: Asked before each call of the sampler.
        on_round: Called after each round with the rounds done and the completions of it that were recorded.
        retry: How patiently a failure of machinery is met.
    """

    def __init__(
        self,
        runs: Sequence[ProblemRun],
        sampler: Sampler | None,
        journal: Journal,
        pool: EvaluatorPool,
        *,
        batch: int,
        overlap: bool,
        may_send: Callable[[], bool],
        on_round: Callable[[int, int], None],
        retry: Backoff,
    ) -> None:
        self._retry, self._stopped = retry, threading.Event()
        self._runs, self._sampler, self._journal, self._pool = runs, sampler, journal, pool
        self._batch, self._overlap, self._may_send, self._on_round = batch, overlap, may_send, on_round

    def play(self) -> None:
        """Play all rounds."""
        with ThreadPoolExecutor(1, thread_name_prefix="sampler") as beside:
            try:
                self._play(beside)
            finally:
                self._stopped.set()  # a sampler that waits for its next try waits no more

    def _play(self, beside: ThreadPoolExecutor) -> None:
        waiting: _Round | None = None  # sampled, not told
        for number in itertools.count():
            current = _Round(number, [(run, run.ask(self._batch)) for run in self._runs])
            if not any(tickets for _, tickets in current.asked):
                if waiting is None:
                    return
                self._finish(waiting)
                waiting = None
            elif not self._overlap:
                self._sample(current)
                self._finish(current)
            else:
                sampling = beside.submit(self._sample, current)
                if waiting is not None:
                    self._finish(waiting)
                sampling.result()
                waiting = current
            if current.cut:
                if waiting is not None:
                    self._finish(waiting)
                return

    def _sample(self, current: _Round) -> None:
        """Find or draw the completions of a round. Writes them down itself, as it may run beside the main thread."""
        missing: list[tuple[ProblemRun, Ticket]] = []
        for run, tickets in current.asked:
            for ticket in tickets:
                generation = self._journal.generation(run, ticket, current.number)
                if generation is None:
                    missing.append((run, ticket))
                else:
                    current.generations[ticket.request.id] = generation
                    current.num_replayed += 1
        if not missing:
            return
        if self._sampler is None or not self._may_send():
            current.cut = True
            return
        requests = [ticket.request for _, ticket in missing]
        generations, sample_s = self._draw(self._sampler, requests)
        check_batch(self._sampler, requests, generations)
        for (run, ticket), generation in zip(missing, generations, strict=True):
            self._journal.write_generation(run, ticket, generation, sample_s, current.number)
            current.generations[ticket.request.id] = generation

    def _draw(self, sampler: Sampler, requests: Sequence[Request]) -> tuple[Sequence[Generation], float]:
        """Completions, and the seconds of the whole call: it does not split by completion."""
        patience = Patience(self._retry, f"{type(sampler).__name__}.sample")
        while True:
            started = time.perf_counter()
            try:
                return sampler.sample(requests), time.perf_counter() - started
            except RETRIED as error:
                if self._stopped.wait(patience.wait_s(error)):
                    raise

    def _finish(self, current: _Round) -> None:
        """Evaluate, write and tell a round."""
        jobs: list[tuple[ProblemRun, list[Ticket]]] = []
        for run, tickets in current.asked:
            todo = [
                ticket
                for ticket in tickets
                if ticket.request.id in current.generations and self._journal.answers(run, ticket) is None
            ]
            if todo and self._sampler is not None:
                jobs.append((run, todo))
        fresh = self._evaluate(current, jobs)
        for run, tickets in current.asked:
            told = []
            for ticket in tickets:
                answers = fresh.get(ticket.request.id)
                if answers is None:
                    recorded = self._journal.answers(run, ticket)
                    if recorded is None:
                        break  # what is told has no gaps
                    decisions = self._journal.decisions(run, ticket)
                    answers = Outcome(current.generations[ticket.request.id], recorded, decisions)
                told.append((ticket, answers))
            run.release(tickets[len(told) :])
            run.tell(told)
            current.cut = current.cut or len(told) < len(tickets)
        if jobs:
            self._journal.sync()
        self._on_round(current.number + 1, current.num_replayed)

    def _evaluate(self, current: _Round, jobs: Sequence[tuple[ProblemRun, list[Ticket]]]) -> dict[int, Outcome]:
        """Outcomes of fresh completions by request id; each problem's unknown answers in one call."""
        outcomes: dict[int, Outcome] = {}
        parsed: dict[int, list[tuple[str, str]]] = {}
        decided: dict[int, tuple[Decision, ...]] = {}
        todos = {run.problem.id: (run, todo) for run, todo in jobs}
        left: dict[str, dict[str, str]] = {}  # by problem id
        seconds = dict.fromkeys(todos, 0.0)

        def take_down(problem_id: str) -> None:
            run, todo = todos[problem_id]
            for ticket in todo:
                judged = run.evaluations.judged(parsed[ticket.request.id])
                decisions = decided[ticket.request.id]
                outcomes[ticket.request.id] = Outcome(current.generations[ticket.request.id], judged, decisions)
                self._journal.write_answers(run, ticket, judged, seconds[problem_id], decisions)

        for problem_id, (run, todo) in todos.items():
            for ticket in todo:
                answers = run.evaluations.parse(current.generations[ticket.request.id])
                parsed[ticket.request.id], decided[ticket.request.id] = run.sift(ticket, answers)
            self._journal.write_switches(run)
            left[problem_id] = run.evaluations.unknown(each for t in todo for each in parsed[t.request.id])
            if not left[problem_id]:
                take_down(problem_id)
        left = {problem_id: unknown for problem_id, unknown in left.items() if unknown}
        patience = Patience(self._retry, "evaluate()")
        while left:
            failures: list[Exception] = []
            for problem_id, tried in self._tries({each: todos[each][0] for each in left}, left):
                seconds[problem_id] += tried.seconds
                left[problem_id] = take(todos[problem_id][0], self._journal, left[problem_id], tried)
                if left[problem_id]:
                    assert tried.error is not None
                    failures.append(tried.error)
                else:
                    take_down(problem_id)
            left = {problem_id: unknown for problem_id, unknown in left.items() if unknown}
            if failures:
                self._journal.sync()
                time.sleep(patience.wait_s(failures[0]))
        return outcomes

    def _tries(
        self, runs: Mapping[str, ProblemRun], asked: Mapping[str, Mapping[str, str]]
    ) -> Iterator[tuple[str, Tried]]:
        """Evaluate once what is asked of each problem; as it comes."""
        answers = {problem_id: list(each.values()) for problem_id, each in asked.items()}
        if self._pool.inline:
            for problem_id, run in runs.items():
                yield problem_id, timed_evaluate(run.problem, answers[problem_id])
            return
        waiting = {self._pool.submit(run.problem, answers[each]): each for each, run in runs.items()}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
