"""From the lines of a ledger to what was told: the state of a run without the run.

The order of telling follows from the configuration. In rounds, and where a stream is ordered, results are told by
number, up to the first that is missing; in a stream that is not ordered, as their evaluations stand in the file. Where
there is a target, a stream ends with the first result that reaches it; what came back behind it was not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.outcomes import Numbering, Outcome
from search.records import Result, SearchResult
from search.row_checks import LedgerError
from search.rows import Row, answers_of, decisions_of, generation_of, proposal_of


@dataclass(frozen=True)
class Told:
    """All results of one problem, in the order of telling.

    Attributes:
        problem_id: The problem.
        results: What was told. A proposal's own prompt is not in the ledger and therefore not here.
        solved, num_aborted, aborted_tokens: See ``SearchResult``.
    """

    problem_id: str
    results: tuple[Result, ...]
    solved: bool = False
    num_aborted: int = 0
    aborted_tokens: int = 0

    def report(self) -> SearchResult:
        """The series of this problem."""
        return SearchResult.from_results(
            self.problem_id,
            self.results,
            solved=self.solved,
            num_aborted=self.num_aborted,
            aborted_tokens=self.aborted_tokens,
        )


def fold(config: Mapping[str, Any], rows: Iterable[Row]) -> list[Told]:
    """Fold the rows of a ledger, one entry per problem of its configuration."""
    split: dict[str, list[Row]] = {problem["id"]: [] for problem in config["problems"]}
    for row in rows:
        split[row["problem"]].append(row)
    return [_fold_one(config, problem_id, each) for problem_id, each in split.items()]


def aborted(generations: Mapping[int, int], cut_off: Iterable[int], told: Iterable[int]) -> tuple[int, int]:
    """Requests given up and what they generated.

    Args:
        generations: Number -> tokens of every completion that came back.
        cut_off: Numbers of the requests that were under way.
        told: Numbers that were told.
    """
    untold = generations.keys() - set(told)
    return len(untold | set(cut_off)), sum(generations[number] for number in untold)


def _fold_one(config: Mapping[str, Any], problem_id: str, rows: Sequence[Row]) -> Told:
    streamed, target = config["mode"] == "stream", config["target"]
    asked = {row["number"]: row for row in rows if row["kind"] == "generation"}
    evaluated = {row["number"]: row for row in rows if row["kind"] == "evaluation"}
    numbers: Iterable[int] = evaluated if streamed and not config["ordered"] else _contiguous(evaluated)
    numbering, results, solved = Numbering(), [], False
    for number in numbers:
        if number not in asked:
            raise LedgerError(
                f"the ledger holds an evaluation of completion {number} of {problem_id!r:.80} and not the completion: "
                "restore the file from a copy."
            )
        row = asked[number]
        outcome = Outcome(generation_of(row), answers_of(evaluated[number]), decisions_of(evaluated[number]))
        results.append(numbering.result(number, row["seed"], proposal_of(row), outcome))
        if target is not None and any(judged.scalar >= target for judged in outcome.answers):
            solved = True
            if streamed:
                break
    if not solved:
        return Told(problem_id, tuple(results))
    tokens = {number: row["completion_tokens"] for number, row in asked.items()}
    cut_off = [number for row in rows if row["kind"] == "abort" for number in row["numbers"]]
    return Told(problem_id, tuple(results), True, *aborted(tokens, cut_off, (result.number for result in results)))


def _contiguous(evaluated: Mapping[int, Row]) -> Iterator[int]:
    number = 0
    while number in evaluated:
        yield number
        number += 1
