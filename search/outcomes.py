"""What came back for a request, and how it becomes a result once it is its turn to be told.

Two steps, because the order of arrival is not always the order of telling: an outcome is complete when its answers are
evaluated, but the numbers of its candidates, and whether an answer is a repetition, depend on what was told before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from search.records import Candidate, Evaluation, Generation, Proposal, Result
from search.screening.decisions import Decision, num_dropped


def answer_key(canonical: str) -> str:
    """Name of an answer, by the canonical form of its text: 32 hex digits, the same in every process."""
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Judged:
    """One answer of a completion, evaluated.

    Attributes:
        answer: The answer as parsed.
        key: See `answer_key`; answers that share it share their evaluation.
        evaluation: What the evaluator found, checked.
        scalar: w* . vector.
    """

    answer: str
    key: str
    evaluation: Evaluation
    scalar: float


@dataclass(frozen=True)
class Outcome:
    """A completion with all of its answers evaluated, not told yet.

    Attributes:
        generation: The completion.
        answers: Its answers; without those that a screen dropped.
        decisions: What a screen decided about its new answers, in order.
    """

    generation: Generation
    answers: tuple[Judged, ...]
    decisions: tuple[Decision, ...] = ()


class Numbering:
    """Gives the answers of one problem their numbers, in the order in which they are told."""

    def __init__(self) -> None:
        self._num_candidates = 0
        self._seen: set[str] = set()

    def result(self, number: int, seed: int, proposal: Proposal, outcome: Outcome) -> Result:
        """Turn the next outcome into a result."""
        candidates = []
        for judged in outcome.answers:
            candidates.append(
                Candidate(
                    id=self._num_candidates,
                    answer=judged.answer,
                    vector=judged.evaluation.vector,
                    scalar=judged.scalar,
                    parents=proposal.parents,
                    generation_id=number,
                    status=judged.evaluation.status,
                    artifact=judged.evaluation.artifact,
                    duplicate=judged.key in self._seen,
                )
            )
            self._num_candidates += 1
            self._seen.add(judged.key)
        return Result(
            number=number,
            seed=seed,
            proposal=proposal,
            generation=outcome.generation,
            candidates=tuple(candidates),
            num_dropped=num_dropped(outcome.decisions),
        )
