"""What a run writes down and finds again: recorded lines by request, each checked before it is taken for an answer.

With no ledger behind it, it writes nothing and finds nothing. It also owns the clock: seconds count from the beginning
of the run, former sessions included (up to their last line, the pause between two sessions left out).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from search.ledger import Ledger, LedgerError
from search.outcomes import Judged
from search.problem_run import ProblemRun, Ticket
from search.records import Generation
from search.row_checks import check_rows
from search.rows import (
    Row,
    abort_row,
    answers_of,
    decisions_of,
    evaluation_row,
    generation_of,
    generation_row,
    partial_row,
    same_request,
    switch_row,
)
from search.screening.decisions import Decision

_SYNC_EVERY_S = 1.0


class Journal:
    """The record of one run.

    Args:
        rows: What former sessions wrote.
        ledger: Where this one writes; None writes nothing.
        path: Named in errors.
        clock: Seconds from any moment on.

    Attributes:
        evaluated: (problem id, number) of every recorded evaluation, in order of the file.
        num_found: Completions that were taken from the record so far.

    Raises:
        LedgerError: An evaluation has no completion.
    """

    def __init__(
        self,
        rows: Sequence[Row] = (),
        ledger: Ledger | None = None,
        path: object = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._path, self._clock = ledger, path, clock
        check_rows(rows, path)
        self._generations = {_key(row): row for row in rows if row["kind"] == "generation"}
        self._answers = {_key(row): row for row in rows if row["kind"] == "evaluation"}
        self._partial = [row for row in rows if row["kind"] == "partial"]
        self._judged: dict[tuple[str, int], tuple[Judged, ...]] = {}
        self._switched = {(row["problem"], row["period"]) for row in rows if row["kind"] == "switch"}
        self._unmatched = set(self._generations)
        self._cut_off: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            if row["kind"] == "abort":
                self._cut_off[row["problem"]] += row["numbers"]
        self.evaluated = list(self._answers)
        self.num_found = 0
        self._before = max((row["wall"]["at"] for row in rows), default=0.0)
        self._began = self._synced = clock()
        for problem_id, number in self._answers.keys() - self._generations.keys():
            raise self.mismatch(f"generation {number} of problem {problem_id!r} was evaluated but never drawn")

    def elapsed(self) -> float:
        """Seconds of the run so far."""
        return self._before + self._clock() - self._began

    def session_s(self) -> float:
        """Seconds of this session."""
        return self._clock() - self._began

    def preload(self, runs: Mapping[str, ProblemRun]) -> None:
        """Give every recorded evaluation to its problem, so that no answer is evaluated again.

        Raises:
            LedgerError: A problem weighs its components in another way now.
        """
        for problem_id in {problem_id for problem_id, _ in self._answers} - runs.keys():
            raise self.mismatch(f"there is a problem {problem_id!r:.80} that the run does not have")
        for key, row in self._answers.items():
            self._judged[key] = self._remember(runs[key[0]], row, f"generation {key[1]}")
        for row in self._partial:
            if row["problem"] not in runs:
                raise self.mismatch(f"there is a problem {row['problem']!r:.80} that the run does not have")
            self._remember(runs[row["problem"]], row, "a part of a generation")

    def _remember(self, run: ProblemRun, row: Row, what: str) -> tuple[Judged, ...]:
        judged = answers_of(row)
        for each in judged:
            if run.problem.scalar(each.evaluation.vector) != each.scalar:
                raise self.mismatch(f"an answer of {what} of problem {run.problem.id!r} has another scalar now")
        run.evaluations.remember(judged)
        return judged

    def generation(self, run: ProblemRun, ticket: Ticket, round_number: int | None = None) -> Generation | None:
        """The recorded completion of a request, once it is certain that it answers this very request.

        Raises:
            LedgerError: It answers another one.
        """
        key = (run.problem.id, ticket.number)
        row = self._generations.get(key)
        if row is None:
            return None
        if row.get("round") != round_number or not same_request(row, ticket.proposal, ticket.request):
            raise self.mismatch(f"generation {ticket.number} of problem {run.problem.id!r} answers another request")
        self._unmatched.discard(key)
        self.num_found += 1
        return generation_of(row)

    def answers(self, run: ProblemRun, ticket: Ticket) -> tuple[Judged, ...] | None:
        """The recorded answers of a completion."""
        return self._judged.get((run.problem.id, ticket.number))

    def decisions(self, run: ProblemRun, ticket: Ticket) -> tuple[Decision, ...]:
        """The recorded decisions of a screen about a completion."""
        return decisions_of(self._answers[run.problem.id, ticket.number])

    def cut_off(self, run: ProblemRun) -> list[int]:
        """Numbers of the requests that were cut off under way."""
        return self._cut_off[run.problem.id]

    def check_all_asked(self) -> None:
        """Be sure that every recorded completion was asked for.

        Raises:
            LedgerError: Some were not.
        """
        if self._unmatched:
            raise self.mismatch(f"{len(self._unmatched)} of its rows were never asked for")

    def mismatch(self, what: str) -> LedgerError:
        """The error that the record does not fit the code."""
        return LedgerError(
            f"{self._path} cannot be replayed: {what}. The same code on the same problems was expected; the procedure, "
            "vary() or scalar() has changed since: restore it to resume, or give a new ledger_path."
        )

    def write_generation(
        self, run: ProblemRun, ticket: Ticket, generation: Generation, sample_s: float, round_number: int | None = None
    ) -> None:
        """Record a completion, before anything is done with it."""
        wall = {"sample_s": sample_s}
        request = (ticket.number, ticket.proposal, ticket.request)
        self._write(lambda at: generation_row(run.problem.id, *request, generation, wall | at, round_number))

    def write_answers(
        self,
        run: ProblemRun,
        ticket: Ticket,
        answers: Sequence[Judged],
        evaluate_s: float,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """Record the evaluated answers of a completion, and what a screen decided, before they are told."""
        wall = {"evaluate_s": evaluate_s}
        self._write(lambda at: evaluation_row(run.problem.id, ticket.number, answers, wall | at, decisions))

    def write_switches(self, run: ProblemRun) -> None:
        """Record how a screen was switched since it was last asked, unless a former session did."""
        for each in run.screen.fresh_switches() if run.screen is not None else ():
            if (run.problem.id, each.period) not in self._switched:
                self._write(partial(switch_row, run.problem.id, each))

    def write_partial(self, run: ProblemRun, answers: Sequence[Judged]) -> None:
        """Record evaluated answers whose completions cannot be recorded as evaluated yet."""
        self._write(lambda at: partial_row(run.problem.id, answers, at))

    def write_cut_off(self, run: ProblemRun, numbers: Sequence[int]) -> None:
        """Record the requests that are cut off under way."""
        self._cut_off[run.problem.id] += numbers
        self._write(lambda at: abort_row(run.problem.id, numbers, at))

    def sync(self) -> None:
        """Wait until everything is on disk."""
        if self._ledger is not None:
            self._ledger.sync()
            self._synced = self._clock()

    def sync_sometimes(self) -> None:
        """The same, at most once a second."""
        if self._clock() - self._synced >= _SYNC_EVERY_S:
            self.sync()

    def _write(self, row: Callable[[dict[str, Any]], Row]) -> None:
        if self._ledger is not None:
            self._ledger.append(row({"at": self.elapsed()}))


def _key(row: Row) -> tuple[str, int]:
    return row["problem"], row["number"]
