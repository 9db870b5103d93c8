"""A search problem from any function that scores a candidate."""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.each import score_each
from search.problems.search_prompt import asked, bare, search_prompt
from search.records import Candidate, Evaluation, Prompt, Variation, Vector
from search.seeds import stable_hash
from vpo.answers import AnswerFormat
from vpo.daemon_threads import DaemonThreads
from vpo.infrastructure import InfrastructureError

Score = float | Sequence[float] | Mapping[str, float] | Evaluation
"""What a scoring function may give: one number, a vector, a vector by name, or an `Evaluation`."""

_MOST_TRACEBACK = 2000


class FunctionProblem:
    """A problem in words, whose answers a plain Python function scores.

    The function runs in this process: it is yours. What a MODEL has written must not be executed by it; for answers
    that are programs, `search.problems.ProgramEvaluator` gives a function that runs them in the sandbox.

    Args:
        evaluate: ``evaluate(candidate: str)``, a function of the candidate alone. More is better in every component. An
            exception makes the candidate an "error" with the traceback as its artifact; only a
            `vpo.infrastructure.InfrastructureError` does not, after which the search tries again. If it has a method
            ``batch(candidates)``, that is called instead, with all new candidates of a batch at once; with
            ``batch_some(candidates, components)``, the problem can be measured in part, for a `search.cascade.Cascade`.
        prompt: What the policy is asked, as text or chat messages, without a request for tagged answers.
        w_star: The scalar that the user finally wants: a weight for each component, by name or in order. Needless with
            one component; equal weights by default.
        components: Names of the D components; by default the keys of ``w_star``, else "component_1" and so on.
        answer_format: How m answers stand in a completion; by default the whole completion is the one answer.
        parse: Reads the answers of a completion, at most ``answer_format.num_answers``; by default the format's own.
        floor: What a candidate without a valid score earns: in every component, or one value each.
        limit_s: Seconds that one call may take; after them the candidate is a "timeout" and has the floor. The call,
            which nothing can end, is left behind in a thread of its own until the process ends. None for no limit.
            Where the clock decides, a second run may find otherwise.
        id: Unique name within a run; by default a hash of the prompt.
        language: Of the code blocks in which earlier answers are shown; "" for none.

    Attributes:
        components, w_star, floor: As given, one entry a component.

    Raises:
        ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        evaluate: Callable[[str], Score],
        *,
        prompt: Prompt,
        w_star: Sequence[float] | Mapping[str, float] | None = None,
        components: Sequence[str] | None = None,
        answer_format: AnswerFormat | None = None,
        parse: Callable[[str], Sequence[str]] | None = None,
        floor: float | Sequence[float] = 0.0,
        limit_s: float | None = None,
        id: str | None = None,
        language: str = "",
    ) -> None:
        if not callable(evaluate):
            raise ValueError(f"evaluate is {evaluate!r}: expected a function of a candidate's text.")
        if limit_s is not None and (not 0 < limit_s < math.inf or hasattr(evaluate, "batch")):
            what = "for an evaluator with batch()" if hasattr(evaluate, "batch") else ""
            raise ValueError(
                f"limit_s is {limit_s} {what}: expected seconds above 0, for a plain function. Leave it out for none, "
                "and where the evaluator has limits of its own."
            )
        self._limit_s = limit_s
        self._evaluate = evaluate
        self.answer_format = answer_format or AnswerFormat(num_answers=1)
        self.prompt: Prompt = asked(self.answer_format, bare(self.answer_format, prompt))
        self.num_answers: int = self.answer_format.num_answers
        self.components, self.w_star = _named(components, w_star)
        self.floor: Vector = _floor(floor, len(self.components))
        self._parse = parse
        self._language = language
        if hasattr(evaluate, "batch_some"):
            self.evaluate_some = self._evaluate_some
        self.id: str = id if id is not None else _hash(self.prompt)

    @property
    def num_components(self) -> int:
        """D."""
        return len(self.components)

    def parse(self, text: str) -> list[str]:
        """Read the answers of a completion."""
        return list(self.answer_format.parse(text).answers if self._parse is None else self._parse(text))

    def evaluate(self, answers: Sequence[str]) -> list[Evaluation]:
        """Score candidates.

        Raises:
            ValueError: The function gave something that is no score, or one of other components.
            InfrastructureError: The function, or its ``batch``, raised it: some candidates could not be scored.
        """
        batch = getattr(self._evaluate, "batch", None)
        if batch is None:
            return score_each(answers, lambda _, answer: self._checked(self._call(answer)))
        return self._batch(lambda: batch(answers), [range(self.num_components)] * len(answers))

    def scalar(self, vector: Vector) -> float:
        """Give w* . vector.

        Raises:
            ValueError: It has another number of components.
        """
        if len(vector) != len(self.w_star):
            raise ValueError(f"the vector has {len(vector)} rewards: expected {len(self.w_star)}, one a component.")
        return math.fsum(weight * reward for weight, reward in zip(self.w_star, vector, strict=True))

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        """Show the parent and the inspirations in the prompt."""
        prompt = search_prompt(
            self.prompt, self.answer_format, self.components, parent, inspirations, language=self._language
        )
        return Variation(prompt=prompt)

    def _evaluate_some(self, answers: Sequence[str], components: Sequence[Sequence[int]]) -> list[Evaluation]:
        batch_some = self._evaluate.batch_some  # type: ignore[attr-defined]
        return self._batch(lambda: batch_some(answers, components), components)

    def _batch(self, call: Callable[[], Sequence[Score]], components: Sequence[Sequence[int]]) -> list[Evaluation]:
        try:
            found = list(call())
        except InfrastructureError as error:
            pairs = zip(error.found, components, strict=False)
            known = [None if each is None else self._checked(each, wanted) for each, wanted in pairs]
            raise InfrastructureError(str(error), known) from error
        if len(found) != len(components):
            raise ValueError(f"batch() gave {len(found)} scores for {len(components)} candidates: expected one each.")
        return [self._checked(each, wanted) for each, wanted in zip(found, components, strict=True)]

    def _call(self, answer: str) -> Score:
        if self._limit_s is None:
            return self._guarded(answer)
        thread = DaemonThreads(1, "evaluate")
        try:
            return thread.submit(self._guarded, answer).result(self._limit_s)
        except TimeoutError:  # one of the function's own is an "error" by now
            text = f"evaluate did not end within {self._limit_s:g} s"
            return Evaluation(vector=self.floor, status="timeout", artifact=text)
        finally:
            thread.shutdown(wait=False)

    def _guarded(self, answer: str) -> Score:
        try:
            return self._evaluate(answer)
        except InfrastructureError:
            raise
        except Exception as error:
            trace = error.__traceback__.tb_next if error.__traceback__ is not None else None  # not this line of ours
            text = "".join(traceback.format_exception(type(error), error, trace)).strip()
            return Evaluation(vector=self.floor, status="error", artifact=text[-_MOST_TRACEBACK:])

    def _checked(self, found: Score, components: Sequence[int] | None = None) -> Evaluation:
        numbers = range(self.num_components) if components is None else components
        names = [self.components[number] for number in numbers]
        evaluation = found if isinstance(found, Evaluation) else Evaluation(vector=self._vector(found, names))
        vector = self._vector(evaluation.vector, names)
        wrong = [f"{n} = {v}" for n, v in zip(names, vector, strict=True) if not math.isfinite(v)]
        if wrong:
            floor = tuple(self.floor[number] for number in numbers)
            return Evaluation(vector=floor, status="invalid", artifact=f"not a finite score: {', '.join(wrong)}")
        return Evaluation(vector=vector, status=evaluation.status, artifact=evaluation.artifact)

    def _vector(self, found: Any, names: Sequence[str]) -> Vector:
        if isinstance(found, Mapping):
            if set(found) != set(names):
                raise ValueError(
                    f"evaluate gave the components {', '.join(map(str, found))}: expected {', '.join(names)}. Give "
                    "each of them for every candidate, or name others in w_star."
                )
            found = [found[name] for name in names]
        try:
            if isinstance(found, (str, bytes)):
                raise TypeError("a text")
            values = tuple(found) if hasattr(found, "__len__") else (found,)
            vector = tuple(float(value) for value in values)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"evaluate gave {found!r:.200}: expected a number, a sequence of numbers, a dict of them, or an "
                "Evaluation."
            ) from None
        if len(vector) != len(names):
            raise ValueError(
                f"evaluate gave {len(vector)} numbers: expected {len(names)}, for {', '.join(names)}. Say so by w_star "
                "or components."
            )
        return vector


def _named(
    components: Sequence[str] | None, w_star: Sequence[float] | Mapping[str, float] | None
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names and weights of the components."""
    if isinstance(components, str):
        raise ValueError(f"components is the text {components!r}: expected a list of names.")
    if isinstance(w_star, Mapping):
        names = tuple(w_star) if components is None else tuple(components)
        if set(names) != set(w_star):
            raise ValueError(f"w_star weighs {sorted(w_star)} and components are {sorted(names)}: expected the same.")
        weights: tuple[float, ...] = tuple(float(w_star[name]) for name in names)
    elif components is None:
        weights = (1.0,) if w_star is None else tuple(map(float, w_star))
        names = ("score",) if len(weights) == 1 else tuple(f"component_{i}" for i in range(1, len(weights) + 1))
    else:
        names = tuple(components)
        weights = (1 / max(1, len(names)),) * len(names) if w_star is None else tuple(map(float, w_star))
    if not names or len(set(names)) != len(names):
        raise ValueError(f"components are {list(names)}: expected distinct names, one at least.")
    if len(weights) != len(names) or not all(map(math.isfinite, weights)) or not any(weights):
        raise ValueError(
            f"w_star is {w_star!r}: expected {len(names)} finite weights, not all 0, for {', '.join(names)}."
        )
    return names, weights


def _floor(floor: float | Sequence[float], num: int) -> Vector:
    values = (float(floor),) * num if isinstance(floor, (int, float)) else tuple(map(float, floor))
    if len(values) != num or not all(map(math.isfinite, values)):
        raise ValueError(f"floor is {floor!r}: expected a finite number, or {num} of them, one a component.")
    return values


def _hash(prompt: Prompt) -> str:
    return f"{stable_hash(prompt):016x}"
