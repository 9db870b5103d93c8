"""Replay: the state of a run computed again from its ledger, with no sampler, and checked on the way.

Every recorded request must be the one that the procedure asks for at that point, every scalar the one that the problem
computes. With ``evaluate``, every distinct answer is evaluated again as well, and every completion parsed again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from search.budget import CountTokens
from search.driver import make_windows, play_rounds
from search.evaluations import Evaluations
from search.evaluator_pool import EvaluatorPool, timed_evaluate
from search.journal import Journal
from search.ledger import LedgerError, read_search
from search.outcomes import Judged
from search.problem import Problem
from search.procedures import Procedure
from search.records import Evaluation, SearchResult, Vector
from search.retry import Backoff
from search.row_checks import not_written
from search.rows import Row, answers_of, decisions_of, generation_of
from search.settings import Settings, check_problems
from search.stream import restore


@dataclass(frozen=True)
class Difference:
    """Something that an evaluator or a parser says otherwise than the ledger.

    Attributes:
        problem_id: The problem.
        number: Number of the completion.
        answer: The answer, or the beginning of the completion if it is parsed otherwise.
        recorded, now: What the ledger says and what is found now, as text.
    """

    problem_id: str
    number: int
    answer: str
    recorded: str
    now: str


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    Attributes:
        results: One per problem, as the run would return them if it ended here.
        num_told: Completions that were told.
        num_open: Completions that are in the ledger but were not told: not evaluated yet, not their turn, or given up.
        num_evaluated: Distinct answers that were evaluated again.
        differences: Where they came out otherwise.
    """

    results: list[SearchResult]
    num_told: int
    num_open: int
    num_evaluated: int = 0
    differences: tuple[Difference, ...] = ()


def replay_search(
    problems: Sequence[Problem],
    make_procedure: Callable[[Problem], Procedure],
    ledger_path: str | os.PathLike[str],
    *,
    evaluate: bool = False,
    evaluators: int | Executor = 1,
    count_tokens: CountTokens | None = None,
) -> Replay:
    """Replay a ledger, whose run may be finished or not, and may even be going on.

    Args:
        problems: As in the run.
        make_procedure: As in the run.
        ledger_path: The record.
        evaluate: Evaluate and parse again, too.
        evaluators: Threads that evaluate, or a pool.
        count_tokens: The sampler's, for a run that had a budget of total tokens and a sampler that counts.

    Raises:
        FileNotFoundError: There is no ledger.
        LedgerError: The ledger is damaged, or the code does not do what it did.
        ValueError: ``count_tokens`` is needed; or a problem breaks its contract.
    """
    config, rows = read_search(ledger_path)
    check_problems(problems)
    try:
        settings = Settings.from_identity(config)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise not_written(ledger_path, 1, ValueError(f"its settings make no sense ({error})")) from error
    counted = config["budget"].get("prompts") == "counted"
    if counted and count_tokens is None:
        raise ValueError(
            f"{ledger_path} is of a run whose sampler counted the tokens of prompts, expected count_tokens: pass the "
            "method of that sampler."
        )
    procedures = [make_procedure(problem) for problem in problems]
    _check_same(ledger_path, config, settings.identity(problems, procedures, config["sampler"], counted))
    runs = settings.make_runs(problems, procedures, count_tokens if counted else None)
    journal = Journal(rows, None, ledger_path)
    journal.preload({run.problem.id: run for run in runs})
    with EvaluatorPool(evaluators) as pool:
        if settings.mode == "rounds":
            nothing: dict[str, Any] = {"may_send": lambda: False, "on_round": lambda *_: None, "retry": Backoff()}
            play_rounds(settings, runs, None, journal, pool, **nothing)
        else:
            windows = make_windows(settings, runs)
            for window, ticket in restore(windows, journal):
                generation = journal.generation(window.run, ticket)
                if generation is not None:
                    window.arrived(ticket.number, generation)
            for window in windows.values():
                window.close(journal.cut_off(window.run))
        journal.check_all_asked()
        num_told = sum(len(run.results) for run in runs)
        num_open = sum(row["kind"] == "generation" for row in rows) - num_told
        results = [run.report() for run in runs]
        if not evaluate:
            return Replay(results, num_told, num_open)
        return Replay(results, num_told, num_open, *_evaluate_again(problems, rows, pool))


def _evaluate_again(
    problems: Sequence[Problem], rows: Sequence[Row], pool: EvaluatorPool
) -> tuple[int, tuple[Difference, ...]]:
    differences: list[Difference] = []
    num_evaluated = 0
    texts = {(row["problem"], row["number"]): generation_of(row).text for row in rows if row["kind"] == "generation"}
    evaluations: dict[str, list[Row]] = {problem.id: [] for problem in problems}
    for row in rows:
        if row["kind"] == "evaluation":
            evaluations[row["problem"]].append(row)
    for problem in problems:
        firsts: dict[str, tuple[int, Judged]] = {}
        name = Evaluations(problem).key
        for row in evaluations[problem.id]:
            judged = answers_of(row)
            recorded, text = [each.answer for each in judged], texts[problem.id, row["number"]]
            dropped = {each.key for each in decisions_of(row) if not each.evaluated}
            parsed = [(answer, name(answer)) for answer in problem.parse(text)]
            now = [answer for answer, key in parsed if key not in dropped]
            if now != recorded or not dropped <= {key for _, key in parsed}:
                differences.append(Difference(problem.id, row["number"], text[:40], repr(recorded), repr(now)))
            for each in judged:
                firsts.setdefault(each.key, (row["number"], each))
        answers = [each.answer for _, each in firsts.values()]
        if not answers:
            continue
        num_evaluated += len(answers)
        found = timed_evaluate(problem, answers) if pool.inline else pool.submit(problem, answers).result()
        if found.error is not None:
            raise found.error
        for (number, each), again in zip(firsts.values(), found.found, strict=True):
            assert again is not None
            difference = _compare(each.evaluation, again)
            if difference is not None:
                differences.append(Difference(problem.id, number, each.answer, *difference))
    return num_evaluated, tuple(differences)


def _compare(recorded: Evaluation, again: Vector | Evaluation) -> tuple[str, str] | None:
    now = again if isinstance(again, Evaluation) else Evaluation(vector=again)
    vector = tuple(float(reward) for reward in now.vector)
    if not all(map(math.isfinite, vector)):  # as the driver takes it
        status = "invalid" if now.status == "ok" else now.status
        now, vector = Evaluation(vector=recorded.vector, status=status), (0.0,) * len(recorded.vector)
    if recorded.status == now.status and recorded.vector == vector:
        return None
    return _shown(recorded), _shown(now)


def _shown(evaluation: Evaluation) -> str:
    return f"{evaluation.status} {list(evaluation.vector)}"


def _check_same(path: object, config: dict[str, Any], now: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(now))  # as it is read back: tuples are lists
    changed = [key for key in plain if plain[key] != config.get(key)]
    if changed:
        raise LedgerError(
            f"{path} belongs to a run with other settings: expected the same {', '.join(changed)} as in its header. "
            "Pass the problems and the procedure of that run."
        )
