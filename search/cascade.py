"""A cascade: score an answer on a few of its components first, and on all of them only if it does well there.

Most answers of a weak policy fail most tests; running all tests on each of them is where a search spends its time.
Which components come first is drawn for each answer by itself, from a hash: nothing can be tuned to a fixed subset, and
the same answer is treated alike in every run.

Bias. The bar is absolute, as one that moves with the search would make a vector depend on more than its answer. A
screened answer keeps what was measured and has the floor elsewhere, so its vector and its scalar are too low; its
status is "screened", and procedures of this package take no parents from such answers. An answer that is good in few
components is screened unless they are drawn, so a cascade works against specialists, which is what a vector reward is
kept for: with share s, one that passes only one test of D is measured on that test with probability s. Keep the bar
low, such as "passes anything at all", where specialists matter.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any, Protocol, cast

from search.each import raise_failures
from search.problem import Problem
from search.records import Candidate, Evaluation, Variation, Vector
from search.seeds import stable_hash
from vpo.infrastructure import RETRIED


class PartlyEvaluable(Problem, Protocol):
    """A problem whose components can be measured by themselves.

    Attributes:
        num_components: D.
    """

    @property
    def num_components(self) -> int: ...  # noqa: D102 - described in the class docstring

    def evaluate_some(
        self, answers: Sequence[str], components: Sequence[Sequence[int]]
    ) -> Sequence[Vector | Evaluation]:
        """Score each answer on components of its own.

        Args:
            answers: Distinct answers.
            components: For each, distinct numbers in [0, D), ascending.

        Returns:
            For each, one reward per component asked for, in that order; an `Evaluation` to say more.
        """
        ...


class Cascade:
    """A problem with a first stage before its evaluation.

    Args:
        problem: The problem; see `PartlyEvaluable`.
        share: Of the components, measured first, in (0, 1); one at least.
        bar: Least mean reward on them for the rest to be measured.
        floor: Reward of a component that was not measured.
        seed: Draws the components, together with the problem's id and the answer.

    Raises:
        ValueError: The problem cannot be evaluated in part, or a number makes no sense.
    """

    def __init__(self, problem: Problem, *, share: float = 0.25, bar: float, floor: float = 0.0, seed: int = 0) -> None:
        if not hasattr(problem, "evaluate_some") or not hasattr(problem, "num_components"):
            raise ValueError(
                f"problem {problem.id!r} has no evaluate_some and num_components, expected both for a cascade: leave "
                "the cascade out, or write them (see search.cascade.PartlyEvaluable)."
            )
        if not 0 < share < 1:
            raise ValueError(f"share is {share}, expected a part of the components in (0, 1): 0.25 is the default.")
        if not (math.isfinite(bar) and math.isfinite(floor)):
            raise ValueError(f"bar is {bar} and floor {floor}, expected finite rewards: 0 is the usual floor.")
        self._problem = cast(PartlyEvaluable, problem)
        self._share, self._bar, self._floor, self._seed = share, bar, floor, seed
        self._halves: dict[str, Evaluation] = {}  # first stages of answers whose second one failed, for the next try
        self.id, self.prompt, self.num_answers = problem.id, problem.prompt, problem.num_answers
        canonical = getattr(problem, "canonical", None)
        if canonical is not None:
            self.canonical = canonical

    def parse(self, text: str) -> list[str]:
        """As the problem does."""
        return self._problem.parse(text)

    def scalar(self, vector: Vector) -> float:
        """As the problem does."""
        return self._problem.scalar(vector)

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        """As the problem does."""
        return self._problem.vary(parent, inspirations, rng)

    def describe(self) -> dict[str, Any]:
        """The cascade's numbers, which rows depend on."""
        inner = getattr(self._problem, "describe", None)
        own = {"share": self._share, "bar": self._bar, "floor": self._floor, "seed": self._seed}
        return {"cascade": own, **({} if inner is None else inner())}

    def first_stage(self, answer: str) -> list[int]:
        """Components that an answer is measured on first, ascending."""
        num = self._problem.num_components
        canonical = getattr(self._problem, "canonical", None)
        name = answer if canonical is None else canonical(answer)  # what counts as one answer is treated as one
        rng = random.Random(stable_hash("cascade", self._seed, self.id, name))
        return sorted(rng.sample(range(num), max(1, round(self._share * num))))

    def evaluate(self, answers: Sequence[str]) -> list[Evaluation]:
        """Measure all answers on their first components, and those that pass on the others.

        Raises:
            InfrastructureError: Some could not be measured, through no fault of theirs.
        """
        num = self._problem.num_components
        firsts = [self.first_stage(answer) for answer in answers]
        measured = [self._halves.pop(answer, None) for answer in answers]  # of a try that failed later
        new = [i for i, each in enumerate(measured) if each is None]
        failed: dict[int, Exception] = {}
        for i, found in self._some(new, answers, firsts, failed):
            measured[i] = self._fill(firsts[i], found)
        results: list[Evaluation | None] = list(measured)
        passed: list[int] = []
        rests: list[list[int]] = [[] for _ in answers]
        for i, each in enumerate(measured):
            if each is None or each.status != "ok":
                continue
            if not self._passes(firsts[i], each.vector):
                results[i] = self._screened(firsts[i], each)
            elif rest := sorted(set(range(num)) - set(firsts[i])):
                passed.append(i)
                rests[i] = rest
        for i, found in self._some(passed, answers, rests, failed):
            results[i] = self._fill(rests[i], found, measured[i])
        for i in failed:
            if (half := measured[i]) is not None:
                self._halves[answers[i]] = half
        raise_failures(results, [failed.get(i) for i in range(len(answers))])
        return [each for each in results if each is not None]

    def _some(
        self,
        places: Sequence[int],
        answers: Sequence[str],
        components: Sequence[Sequence[int]],
        failed: dict[int, Exception],
    ) -> list[tuple[int, Evaluation]]:
        """Measure the answers at some places; those that could not be measured are noted in ``failed``."""
        if not places:
            return []
        asked = [components[i] for i in places]
        try:
            found: Sequence[Any] = self._problem.evaluate_some([answers[i] for i in places], asked)
        except RETRIED as error:
            found = getattr(error, "found", ()) or [None] * len(places)
            failed.update((i, error) for i, each in zip(places, found, strict=True) if each is None)
        evaluations = [
            each if each is None or isinstance(each, Evaluation) else Evaluation(vector=each) for each in found
        ]
        wanted = [len(each) for each in asked]
        lengths = [num if each is None else len(each.vector) for each, num in zip(evaluations, wanted, strict=True)]
        if lengths != wanted:
            raise ValueError(
                f"evaluate_some() of problem {self.id!r} gave {lengths[:5]}... rewards, expected {wanted[:5]}...: give "
                "one reward for each component asked for."
            )
        return [(i, each) for i, each in zip(places, evaluations, strict=True) if each is not None]

    def _fill(self, components: Sequence[int], found: Evaluation, before: Evaluation | None = None) -> Evaluation:
        """Put rewards at their components; the others as they were, or at the floor."""
        vector = list(before.vector if before else (self._floor,) * self._problem.num_components)
        for component, reward in zip(components, found.vector, strict=True):
            vector[component] = float(reward)
        said = [text for text in (before.artifact if before else "", found.artifact) if text]
        return Evaluation(vector=tuple(vector), status=found.status, artifact="\n".join(said))

    def _passes(self, first: Sequence[int], vector: Vector) -> bool:
        return self._mean(first, vector) >= self._bar

    def _screened(self, first: Sequence[int], found: Evaluation) -> Evaluation:
        why = f"mean {self._mean(first, found.vector):g} on {len(first)} of {len(found.vector)} components"
        artifact = f"{why}, expected {self._bar:g} at least for the others to be measured"
        return Evaluation(vector=found.vector, status="screened", artifact=f"{found.artifact}\n{artifact}".strip())

    def _mean(self, first: Sequence[int], vector: Vector) -> float:
        return sum(vector[component] for component in first) / len(first)
