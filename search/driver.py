"""The driver: it owns the clock, the budget and the ledger; procedures own the decisions.

Two ways to drive. A sampler that answers batches is driven in rounds, all problems in lockstep (``search.rounds``); one
that answers single requests as a stream (``search.stream``). In both, every completion is in the ledger before it is
evaluated, and every evaluation before it is told. Resume walks the same way with what is recorded in place of the
sampler and the evaluator, and goes on where the ledger ends.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Literal

from search.budget import Budget
from search.evaluator_pool import EvaluatorPool
from search.journal import Journal
from search.ledger import Ledger
from search.patience import GaveUpError
from search.problem import Problem
from search.problem_run import ProblemRun
from search.procedures import Procedure
from search.progress import Progress, Reporter
from search.records import Sampling, SearchResult
from search.retry import Backoff
from search.rounds import Rounds
from search.samplers import Sampler, StreamingSampler
from search.screening.rules import Screening
from search.settings import Settings, check_problems
from search.stream import Stream, restore
from search.window import Window

__all__ = ["GaveUpError", "Progress", "SearchInterrupted", "run_search"]


class SearchInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped a search; its message says what is kept and how to go on."""


def run_search(
    problems: Sequence[Problem],
    make_procedure: Callable[[Problem], Procedure],
    sampler: Sampler | StreamingSampler,
    budget_per_problem: Budget,
    *,
    batch: int = 8,
    seed: int = 0,
    sampling: Sampling | None = None,
    ledger_path: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    mode: Literal["auto", "rounds", "stream"] = "auto",
    ordered: bool = True,
    overlap: bool = False,
    max_in_flight: int | None = None,
    evaluators: int | Executor = 1,
    target: float | None = None,
    screen: Screening | None = None,
    retry: Backoff | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[SearchResult]:
    """Search all problems until their budgets are spent, or they are solved.

    Args:
        problems: With distinct ids; they are independent of each other. One may have ``canonical(answer) -> str``:
            answers with equal canonical forms are evaluated once (``search.keys.python_ast_key`` for programs), and
            their evaluation must be the same.
        make_procedure: Gives a new procedure for a problem, e.g. ``lambda problem: Evolution(problem.vary)``.
        sampler: Answers all requests of a round in one call, or single requests.
        budget_per_problem: Never exceeded: the worst case of a request is reserved before it is sent.
        batch: Most open requests of one problem. In rounds, those of a round: small batches learn sooner, large ones
            fill the device. In a stream, those asked for and not told: the n-th request knows the first n - batch
            results. A stream of one problem needs a batch somewhat above ``max_in_flight`` to keep all slots busy.
        seed: With the same seed the same sampler gives the same run.
        sampling: Length, temperature and nucleus of every request; ``Sampling()`` if None.
        ledger_path: Where the run is recorded and resumed from; None keeps no record.
        progress: Called after each round; in a stream at most ten times a second, and at the end.
        mode: "rounds" and "stream" need a sampler with ``sample`` and ``generate``; "auto" streams if it can.
        ordered: In a stream, tell results by their number, so that the search is a function of the seed. False tells
            them as they are complete, which learns sooner when lengths differ; the ledger keeps the order.
        overlap: In rounds, sample a round while the one before it is evaluated.
        max_in_flight: Most requests at the sampler at once; by default the sampler's ``max_concurrency``. Changes
            nothing that is found in order.
        evaluators: Threads that evaluate, or a pool of one's own. With more than one, ``evaluate`` is called from
            several threads at once.
        target: A scalar that solves a problem: its search ends with the first told result that reaches it. In a
            stream, requests that would be told later are cut off; see ``SearchResult.aborted_tokens`` for their bill.
        screen: A model of the evaluator that keeps from evaluation what cannot matter (`search.screening.Screening`).
            Such answers cost their tokens, but no evaluation, and are not told.
        retry: How often and how patiently evaluation and sampling are tried again where machinery failed
            (``vpo.infrastructure.InfrastructureError``, ``ConnectionError``): by default 6 times, after up to 1, 2, 4,
            ... s; ``Backoff(max_retries=0)`` for never. Only what failed is tried again.
        clock: Seconds from any moment on; for tests.

    Returns:
        One result per problem, in the order of ``problems``.

    Raises:
        ValueError: No problems, equal ids, a batch below 1, a budget too small for one request, settings that do not go
            together, or a sampler or problem that breaks its contract.
        LedgerError: The ledger is damaged, in use, or belongs to another run.
        SearchInterrupted: Ctrl-C. Evaluations under way that ended within 5 s were written down.
        GaveUpError: Machinery failed too often. What was found is in the ledger, and the same call goes on from there.
    """
    retry = retry or Backoff()
    check_problems(problems)
    settings = Settings(
        budget=budget_per_problem,
        batch=batch,
        seed=seed,
        sampling=sampling or Sampling(),
        mode=_mode(sampler, mode),
        ordered=ordered,
        overlap=overlap,
        target=target,
        screen=screen,
    )
    limit = _in_flight(sampler, max_in_flight) if settings.mode == "stream" else 0
    procedures = [make_procedure(problem) for problem in problems]
    count_tokens = getattr(sampler, "count_tokens", None)
    runs = settings.make_runs(problems, procedures, count_tokens)
    config = settings.identity(problems, procedures, _describe(sampler), count_tokens is not None)
    pool = EvaluatorPool(evaluators)
    with nullcontext() if ledger_path is None else Ledger(ledger_path, config) as ledger, pool:
        journal = Journal(ledger.rows if ledger else (), ledger, ledger_path, clock)
        reporter = Reporter(runs, settings.budget, journal, progress)

        def may_send() -> bool:
            most = settings.budget.max_seconds
            return most is None or journal.elapsed() < most

        try:
            journal.preload({run.problem.id: run for run in runs})
            if settings.mode == "rounds":
                play_rounds(
                    settings, runs, sampler, journal, pool, may_send=may_send, on_round=reporter.round_done, retry=retry
                )
            else:
                options = {"max_in_flight": limit, "may_send": may_send, "on_told": reporter.told, "retry": retry}
                _stream(settings, runs, sampler, journal, pool, options)
                reporter.stream_stands()
            journal.check_all_asked()
            for run in runs:
                run.conclude()
                journal.write_switches(run)
        except KeyboardInterrupt as stop:
            raise SearchInterrupted(_how_to_resume(runs, ledger_path)) from stop
        except GaveUpError as stop:
            how = _how_to_resume(runs, ledger_path)
            raise GaveUpError(f"{stop} The search {how}") from stop.__cause__
    return [run.report() for run in runs]


def play_rounds(
    settings: Settings,
    runs: Sequence[ProblemRun],
    sampler: Any,
    journal: Journal,
    pool: EvaluatorPool,
    *,
    may_send: Callable[[], bool],
    on_round: Callable[[int, int], None],
    retry: Backoff,
) -> None:
    """Play all rounds of a run; without a sampler, those that are recorded."""
    options: dict[str, Any] = {"batch": settings.batch, "overlap": settings.overlap, "retry": retry}
    Rounds(runs, sampler, journal, pool, may_send=may_send, on_round=on_round, **options).play()


def make_windows(settings: Settings, runs: Sequence[ProblemRun]) -> dict[str, Window]:
    """A window for each problem of a stream, by its id."""
    return {run.problem.id: Window(run, settings.batch, settings.ordered) for run in runs}


def _stream(
    settings: Settings,
    runs: Sequence[ProblemRun],
    sampler: Any,
    journal: Journal,
    pool: EvaluatorPool,
    options: dict[str, Any],
) -> None:
    windows = make_windows(settings, runs)

    async def work() -> None:
        await Stream(sampler, journal, pool, **options).run(restore(windows, journal))

    _run(work)
    for window in windows.values():
        window.close(journal.cut_off(window.run))


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def named() -> None:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        await work()

    with ThreadPoolExecutor(1) as beside:  # a loop cannot be entered twice
        done = beside.submit(lambda: asyncio.run(named()))
        try:
            done.result()
        except KeyboardInterrupt:
            loop, task = started.result()
            loop.call_soon_threadsafe(task.cancel)
            raise


def _mode(sampler: object, asked: str) -> Literal["rounds", "stream"]:
    can = {"rounds": hasattr(sampler, "sample"), "stream": hasattr(sampler, "generate")}
    if asked not in ("auto", *can):
        raise ValueError(f"mode is {asked!r}, expected 'auto', 'rounds' or 'stream': leave it out if in doubt.")
    if not any(can.values()):
        raise ValueError(
            f"{type(sampler).__name__} has neither `sample` nor `generate`, expected a Sampler or a StreamingSampler: "
            "see search.samplers."
        )
    if asked != "auto" and not can[asked]:
        method = {"rounds": "sample", "stream": "generate"}[asked]
        raise ValueError(
            f"mode is {asked!r}, which needs a sampler with `{method}`, and {type(sampler).__name__} has none: leave "
            "mode out."
        )
    return "stream" if can["stream"] and asked != "rounds" else "rounds"


def _in_flight(sampler: Any, asked: int | None) -> int:
    limit = sampler.max_concurrency if asked is None else asked
    if limit < 1:
        raise ValueError(f"max_in_flight is {limit}, expected at least 1: nothing could be sent.")
    return int(limit)


def _describe(sampler: object) -> dict[str, Any]:
    describe = getattr(sampler, "describe", None)
    return dict(describe()) if describe else {"name": type(sampler).__name__}


def _how_to_resume(runs: Sequence[ProblemRun], ledger_path: object) -> str:
    told = sum(len(run.results) for run in runs)
    if ledger_path is None:
        return f"stopped after {told} results; there is no ledger, so nothing is kept. Give ledger_path to resume."
    return f"stopped after {told} results; {ledger_path} holds them all. The same call again goes on from there."
