"""The driver: many problems in lockstep, one sampler call a round, every result in the ledger before it is told.

Each round asks every unfinished problem for its next requests, samples all of them in ONE call (that fills a GPU, which
a single problem cannot), evaluates, writes, tells. The driver owns the clock, the budget and the ledger; procedures own
the decisions. Resume replays the same rounds with the recorded results in place of the sampler and the evaluator, and
goes on sampling where the ledger ends. Left out so far: steady state (refill as requests return), time budgets.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from search.budget import Budget
from search.ledger import Ledger, LedgerError, Row, result_of, row_of, same_proposal
from search.problem import Problem
from search.problem_run import ProblemRun, Ticket
from search.procedures import Procedure
from search.records import Generation, Result, Sampling, SearchResult
from search.samplers import Sampler
from search.seeds import stable_hash


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a round.

    Attributes:
        round: Rounds done.
        num_problems: Problems in the run.
        num_finished: Problems whose search has ended.
        num_answers: Charged answers, all problems.
        completion_tokens: Generated tokens, all problems.
        mean_best: Mean over problems of the best scalar so far; a problem without an answer counts 0.
        num_replayed: Generations of this round that came from the ledger.
    """

    round: int
    num_problems: int
    num_finished: int
    num_answers: int
    completion_tokens: int
    mean_best: float
    num_replayed: int


def run_search(
    problems: Sequence[Problem],
    make_procedure: Callable[[Problem], Procedure],
    sampler: Sampler,
    budget_per_problem: Budget,
    *,
    batch: int = 8,
    seed: int = 0,
    sampling: Sampling | None = None,
    ledger_path: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> list[SearchResult]:
    """Search all problems until their budgets are spent.

    Args:
        problems: With distinct ids; they are independent of each other.
        make_procedure: Gives a new procedure for a problem, e.g. ``lambda problem: Evolution(problem.vary)``.
        sampler: Answers all requests of a round in one call.
        budget_per_problem: Never exceeded: the worst case of a request is reserved before it is sent.
        batch: Most requests of one problem in a round; small batches learn sooner, large ones fill the device.
        seed: With the same seed the same sampler gives the same run.
        sampling: Length, temperature and nucleus of every request; ``Sampling()`` if None.
        ledger_path: Where the run is recorded and resumed from; None keeps no record.
        progress: Called after each round.

    Returns:
        One result per problem, in the order of ``problems``.

    Raises:
        ValueError: No problems, equal ids, a batch below 1, a budget too small for one request, or a sampler or problem
            that breaks its contract.
        LedgerError: The ledger is damaged, in use, or belongs to another run.
    """
    _check_arguments(problems, batch)
    sampling = sampling or Sampling()
    procedures = [make_procedure(problem) for problem in problems]
    runs = [
        ProblemRun(problem, procedure, budget_per_problem, sampling=sampling, run_seed=seed)
        for problem, procedure in zip(problems, procedures, strict=True)
    ]
    config = _identity(problems, procedures, sampler, budget_per_problem, batch, seed, sampling)
    with nullcontext() if ledger_path is None else Ledger(ledger_path, config) as ledger:
        recorded = {(row["problem"], row["number"]): row for row in ledger.rows} if ledger else {}
        request_ids = itertools.count()
        for round_number in itertools.count():
            asked = [(run, run.ask(batch, request_ids)) for run in runs]
            if not any(tickets for _, tickets in asked):
                break
            num_before = len(recorded)
            _play_round(asked, round_number, sampler, recorded, ledger)
            if progress is not None:
                progress(_progress(runs, round_number + 1, num_before - len(recorded)))
        if recorded and ledger:
            raise _mismatch(ledger, f"{len(recorded)} of its rows were never asked for")
    return [run.report() for run in runs]


def _play_round(
    asked: Sequence[tuple[ProblemRun, list[Ticket]]],
    round_number: int,
    sampler: Sampler,
    recorded: dict[tuple[str, int], Row],
    ledger: Ledger | None,
) -> None:
    """Sample, evaluate, record and tell one round; rows found in ``recorded`` are taken out of it, not sampled."""
    replayed: dict[int, Result] = {}  # by request id, as are the generations
    for run, tickets in asked:
        for ticket in tickets:
            row = recorded.pop((run.problem.id, ticket.number), None)
            if row is not None and ledger is not None:
                replayed[ticket.request.id] = _replay(row, run, ticket, round_number, ledger)
    missing = [ticket for _, tickets in asked for ticket in tickets if ticket.request.id not in replayed]
    started = time.perf_counter()
    generations = _sample(sampler, missing)
    sample_s = time.perf_counter() - started
    for run, tickets in asked:
        started = time.perf_counter()
        results = run.judge(
            tickets,
            fresh={t.number: generations[t.request.id] for t in tickets if t.request.id in generations},
            replayed={t.number: replayed[t.request.id] for t in tickets if t.request.id in replayed},
        )
        # Seconds of the whole sampler call and of the problem's whole evaluation: neither splits by generation
        wall = {"sample_s": sample_s, "evaluate_s": time.perf_counter() - started}
        for ticket, result in zip(tickets, results, strict=True):
            if ledger is not None and ticket.request.id not in replayed:
                ledger.append(row_of(run.problem.id, round_number, result, wall))
        run.tell(tickets, results)
    if ledger is not None and missing:
        ledger.sync()


def _sample(sampler: Sampler, tickets: Sequence[Ticket]) -> dict[int, Generation]:
    """Call the sampler and hold it to its contract; the budget rests on it."""
    if not tickets:
        return {}
    requests = [ticket.request for ticket in tickets]
    generations = sampler.sample(requests)
    ids, expected = [generation.request_id for generation in generations], [request.id for request in requests]
    if ids != expected:
        raise ValueError(
            f"{type(sampler).__name__}.sample answered requests {ids[:5]}... ({len(ids)}), expected {expected[:5]}... "
            f"({len(expected)}): give one generation per request, in order."
        )
    for request, generation in zip(requests, generations, strict=True):
        if not 1 <= generation.completion_tokens <= request.max_new_tokens:
            raise ValueError(
                f"{type(sampler).__name__}.sample counted {generation.completion_tokens} generated tokens, expected 1 "
                f"to max_new_tokens = {request.max_new_tokens}: count the end-of-sequence token, but not the prefix."
            )
        if not generation.text.startswith(request.prefix):
            raise ValueError(
                f"{type(sampler).__name__}.sample gave {generation.text[:40]!r}, expected it to begin with the prefix "
                f"{request.prefix[:40]!r}: return the prefix as part of the text."
            )
    return {generation.request_id: generation for generation in generations}


def _replay(row: Row, run: ProblemRun, ticket: Ticket, round_number: int, ledger: Ledger) -> Result:
    """Read a recorded result, once it is certain that it answers this very request."""
    result = result_of(row)
    if (row["round"], result.seed) != (round_number, ticket.request.seed) or not same_proposal(row, ticket.proposal):
        raise _mismatch(ledger, f"generation {ticket.number} of problem {run.problem.id!r} answers another request")
    for candidate in result.candidates:
        if run.problem.scalar(candidate.vector) != candidate.scalar:
            raise _mismatch(ledger, f"candidate {candidate.id} of problem {run.problem.id!r} has another scalar now")
    return replace(result, proposal=ticket.proposal)


def _mismatch(ledger: Ledger, what: str) -> LedgerError:
    return LedgerError(
        f"{ledger.path} cannot be replayed: {what}. The same code on the same problems was expected; the procedure, "
        "vary() or scalar() has changed since: restore it to resume, or give a new ledger_path."
    )


def _identity(
    problems: Sequence[Problem],
    procedures: Sequence[Procedure],
    sampler: Sampler,
    budget: Budget,
    batch: int,
    seed: int,
    sampling: Sampling,
) -> dict[str, Any]:
    """Everything that the rows of a ledger depend on and that can be named."""
    described = [procedure.describe() for procedure in procedures]
    describe_sampler = getattr(sampler, "describe", None)
    return {
        "seed": seed,
        "batch": batch,
        "budget": asdict(budget),
        "sampling": asdict(sampling),
        "sampler": describe_sampler() if describe_sampler else {"name": type(sampler).__name__},
        # One description if the problems share it, which they nearly always do
        "procedure": described[0] if all(d == described[0] for d in described) else described,
        "problems": [
            {"id": p.id, "prompt_hash": f"{stable_hash(p.prompt):016x}", "num_answers": p.num_answers} for p in problems
        ],
    }


def _progress(runs: Sequence[ProblemRun], rounds: int, num_replayed: int) -> Progress:
    return Progress(
        round=rounds,
        num_problems=len(runs),
        num_finished=sum(run.finished for run in runs),
        num_answers=sum(run.account.spent.answers for run in runs),
        completion_tokens=sum(run.account.spent.completion_tokens for run in runs),
        mean_best=sum(run.best or 0.0 for run in runs) / len(runs),
        num_replayed=num_replayed,
    )


def _check_arguments(problems: Sequence[Problem], batch: int) -> None:
    if not problems:
        raise ValueError("problems is empty, expected at least one: pass the problems to search.")
    if batch < 1:
        raise ValueError(f"batch is {batch}, expected at least 1: it is the number of requests per problem and round.")
    ids = [problem.id for problem in problems]
    repeated = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if repeated:
        raise ValueError(
            f"problem ids {repeated[:5]} occur more than once, expected distinct ids (seeds and records hang on them): "
            "drop the repeats, or give TaskProblem an id."
        )
    for problem in problems:
        if problem.num_answers < 1:
            raise ValueError(
                f"problem {problem.id!r} has num_answers = {problem.num_answers}, expected at least 1: "
                "ask for one answer or more."
            )
