"""The answers of one problem and what was found of them: every distinct answer is evaluated once.

Two answers are the same if ``Problem.canonical`` says so (by default, if their texts are equal). The problem is held to
its contract here, because selection and budget rest on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from search.outcomes import Judged, answer_key
from search.problem import Problem
from search.records import Evaluation, Generation, Vector


class Evaluations:
    """Cache of one problem.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._canonical = getattr(problem, "canonical", None)
        self._known: dict[str, tuple[Evaluation, float]] = {}  # by key, with the scalar
        self._num_components: int | None = None

    def parse(self, generation: Generation) -> list[tuple[str, str]]:
        """Read (answer, key) of every answer off a completion.

        Raises:
            ValueError: There are more than ``num_answers``.
        """
        answers = list(self._problem.parse(generation.text))
        if len(answers) > self._problem.num_answers:
            raise ValueError(
                f"parse() of problem {self._problem.id!r} gave {len(answers)} answers, expected at most num_answers = "
                f"{self._problem.num_answers}: drop the surplus in parse(), or raise num_answers."
            )
        return [(answer, self.key(answer)) for answer in answers]

    def key(self, answer: str) -> str:
        """Name of an answer in the cache."""
        return answer_key(answer if self._canonical is None else self._canonical(answer))

    def unknown(self, answers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Key -> answer of what was not evaluated yet, each key once, in order."""
        found: dict[str, str] = {}
        for answer, key in answers:
            if key not in self._known:
                found.setdefault(key, answer)
        return found

    def judged(self, answers: Iterable[tuple[str, str]]) -> tuple[Judged, ...]:
        """Put what is known beside each answer; all keys must be known."""
        return tuple(Judged(answer, key, *self._known[key]) for answer, key in answers)

    def remember(self, answers: Iterable[Judged]) -> None:
        """Take over what an earlier session found."""
        for judged in answers:
            self._known.setdefault(judged.key, (judged.evaluation, judged.scalar))
            self._num_components = len(judged.evaluation.vector)

    def store(self, keys: Sequence[str], found: Sequence[Vector | Evaluation]) -> None:
        """Take in what ``evaluate`` gave for the answers behind ``keys``; a non-finite vector becomes zeros, invalid.

        Raises:
            ValueError: ``evaluate`` or ``scalar`` broke its contract.
        """
        evaluations = [each if isinstance(each, Evaluation) else Evaluation(vector=each) for each in found]
        vectors = [tuple(float(reward) for reward in each.vector) for each in evaluations]
        if len(vectors) != len(keys):
            raise ValueError(
                f"evaluate() of problem {self._problem.id!r} gave {len(vectors)} vectors for {len(keys)} answers, "
                "expected one each: give a zero vector to an answer that fails."
            )
        if self._num_components is None:
            self._num_components = len(vectors[0])
        lengths = sorted({len(vector) for vector in vectors} | {self._num_components})
        if len(lengths) > 1 or lengths[0] == 0:
            raise ValueError(
                f"evaluate() of problem {self._problem.id!r} gave vectors of lengths {lengths}, expected one length of "
                "at least 1: score every answer on the same components."
            )
        for key, each, vector in zip(keys, evaluations, vectors, strict=True):
            if all(map(math.isfinite, vector)):
                checked = replace(each, vector=vector)
            else:
                status = "invalid" if each.status == "ok" else each.status
                checked = replace(each, vector=(0.0,) * self._num_components, status=status)
            self._known[key] = (checked, self._scalar(checked.vector))

    def _scalar(self, vector: Vector) -> float:
        scalar = float(self._problem.scalar(vector))
        if not math.isfinite(scalar):
            raise ValueError(
                f"scalar({vector}) of problem {self._problem.id!r} gave {scalar}, expected a finite number: check w*."
            )
        return scalar
