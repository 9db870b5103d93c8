"""What a search needs to know of a problem, and the adapter that makes one out of a row of a vpo task."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from search.each import score_each
from search.records import Candidate, Evaluation, Prompt, Variation, Vector

if TYPE_CHECKING:
    from vpo.answers import AnswerFormat


class Problem(Protocol):
    """One problem: a prompt, a way to read answers off a completion, and a vector-valued evaluator.

    Attributes:
        id: Unique within a run, and the same in every run.
        prompt: What the policy sees.
        num_answers: Most answers that ``parse`` finds in one completion.
    """

    @property
    def id(self) -> str: ...  # noqa: D102 - described in the class docstring

    @property
    def prompt(self) -> Prompt: ...  # noqa: D102

    @property
    def num_answers(self) -> int: ...  # noqa: D102

    def parse(self, text: str) -> list[str]:
        """Read all answers of a completion, in order; at most ``num_answers``, possibly none."""
        ...

    def evaluate(self, answers: Sequence[str]) -> Sequence[Vector | Evaluation]:
        """Score distinct answers: one (D,) vector each, in order. Must be a function of the answer alone.

        Raises:
            InfrastructureError: See `vpo.infrastructure`: some could not be scored, through no fault of theirs. It may
                hold what was found of the others; the rest is tried again.
        """
        ...

    def scalar(self, vector: Vector) -> float:
        """Give w* . vector, the quantity that the user finally wants."""
        ...

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        """Say how the policy is asked to vary ``parent``; None to draw from the bare prompt instead.

        ``inspirations`` are further candidates that it may be shown.
        """
        ...


class Task(Protocol):
    """The part of a vpo task that search uses; see `vpo.tasks.protocol`.

    Used where they are there: ``components``, the names of the rewards; ``concurrency``, answers that may be scored at
    the same time, by threads; ``score_some(answer, row, components: Sequence[int]) -> Sequence[float]``, the rewards of
    some components that apply, measured alone, for a `search.cascade.Cascade`; ``mutation_prefix(answer, row, rng:
    random.Random, num_answers) -> str``, a completion cut within its first answer, for the policy to continue;
    ``feedback(answer, row, vector) -> str``, what went wrong with an answer that scored ``vector``, for the next
    prompt; ``vocabulary``, which says that the policy knows no other words.
    """

    @property
    def w_star(self) -> tuple[float, ...]: ...  # noqa: D102 - (D,) weights of the deployment scalar

    def score(self, answer: str, row: dict[str, Any]) -> tuple[float | None, ...]: ...  # noqa: D102 - (D,) rewards


Vary = Literal["auto", "prefix", "prompt", "none"]


class TaskProblem:
    """One row of a vpo task as a search problem.

    The prompt is the row's own, as in training: a policy that is asked in another way is off its distribution.
    Components that do not apply to the row (None in the task's vector) are left out: of vectors, of names, and of w*,
    whose other weights are scaled to the same sum, so that full marks are worth as much on every row.

    Of a task with ``score_some`` the problem has ``evaluate_some``, see `search.cascade.PartlyEvaluable`.

    Args:
        task: Scores answers and names w*.
        row: A row of ``task.dataset(...)`` whose ``prompt`` already asks for the answers.
        answer_format: How m answers are read off a completion.
        id: Unique name; by default the stable hash of the row's prompt in 16 hex digits, as in the rollout log.
        vary: How candidates are varied. "prefix": by the task's ``mutation_prefix``. "prompt": by a prompt that shows
            them (`search.problems.search_prompt`), for language models. "none": not at all, every proposal is a fresh
            draw. "auto": chat prompts by a prompt, text by a prefix if the task has it, else by a prompt, and not at
            all if the task has a vocabulary of its own, in which no search prompt can be written.
        feedback: ``feedback(answer, row, vector) -> str``, what went wrong with an answer, shown in the next prompt;
            None for the task's own. ``vector`` is the task's, with None where a component does not apply, or was not
            measured.

    Raises:
        ValueError: The row has no prompt, or candidates cannot be varied as asked.
    """

    def __init__(
        self,
        task: Task,
        row: Mapping[str, Any],
        answer_format: AnswerFormat,
        *,
        id: str | None = None,
        vary: Vary = "auto",
        feedback: Callable[[str, dict[str, Any], Sequence[float | None]], str] | None = None,
    ) -> None:
        if "prompt" not in row:
            raise ValueError(
                f"the row has columns {sorted(row)}, expected 'prompt' among them: pass a row of task.dataset(...)."
            )
        self._task = task
        self._row = dict(row)
        self._answer_format = answer_format
        self._applies: tuple[bool, ...] | None = None
        self._vary = _way(vary, task, row["prompt"])
        self._feedback = feedback if feedback is not None else getattr(task, "feedback", None)
        self.prompt: Prompt = row["prompt"]
        self.num_answers: int = answer_format.num_answers
        self.id: str = id if id is not None else _prompt_id(row["prompt"])
        if hasattr(task, "score_some"):
            self.evaluate_some = self._evaluate_some

    @property
    def row(self) -> dict[str, Any]:
        """The row of the task; a model of the evaluator may read it (`search.screening`)."""
        return self._row

    @property
    def num_components(self) -> int:
        """D', components that apply to the row."""
        return sum(self._which())

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the D' components that apply to the row."""
        names = getattr(self._task, "components", None)
        if names is None:
            names = [f"component_{i}" for i in range(1, len(self._task.w_star) + 1)]
        return tuple(name for name, applies in zip(names, self._which(), strict=True) if applies)

    @property
    def w_star(self) -> tuple[float, ...]:
        """(D',) weights of the components that apply.

        Raises:
            ValueError: The others have all the weight.
        """
        weights, which = self._task.w_star, self._which()
        if all(which):
            return tuple(weights)
        kept = [weight for weight, applies in zip(weights, which, strict=True) if applies]
        if not math.fsum(kept):
            raise ValueError(
                f"no component that w_star weighs applies to problem {self.id!r}: expected one at least. Leave the row "
                "out."
            )
        scale = math.fsum(weights) / math.fsum(kept)
        return tuple(weight * scale for weight in kept)

    def parse(self, text: str) -> list[str]:
        """Read the answers of a completion."""
        return list(self._answer_format.parse(text).answers)

    def evaluate(self, answers: Sequence[str]) -> Sequence[Vector | Evaluation]:
        """Score each answer with the task.

        Raises:
            ValueError: A component applies to some answers of the row and not to others.
            InfrastructureError: The task could not score some, through no fault of theirs.
        """
        return self._scored(answers, lambda _, answer: self._task.score(answer, self._row), self._restricted)

    def scalar(self, vector: Vector) -> float:
        """Give w* . vector.

        Raises:
            ValueError: The task scores another number of components than w* weighs.
        """
        weights = self.w_star
        if len(weights) != len(vector):
            raise ValueError(
                f"the task scored {len(vector)} components, expected {len(weights)} as in its w_star: "
                "make score() and w_star agree."
            )
        return float(sum(weight * reward for weight, reward in zip(weights, vector, strict=True)))

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        """Ask for something better than the parent, in the way that fits the policy; None for a fresh draw."""
        if self._vary == "prefix":
            mutation_prefix = self._task.mutation_prefix  # type: ignore[attr-defined]
            return Variation(prefix=mutation_prefix(parent.answer, self._row, rng, self.num_answers))
        if self._vary == "prompt":
            from search.problems.search_prompt import search_prompt

            return Variation(
                prompt=search_prompt(self.prompt, self._answer_format, self.components, parent, inspirations)
            )
        return None

    def _evaluate_some(
        self, answers: Sequence[str], components: Sequence[Sequence[int]]
    ) -> Sequence[Vector | Evaluation]:
        """Score each answer on some of the D' components; what is not asked for is not measured."""
        which = self._which()
        numbers = [number for number, applies in enumerate(which) if applies]  # of the task's own D
        asked = [[numbers[component] for component in each] for each in components]
        score_some = self._task.score_some  # type: ignore[attr-defined]

        def whole(place: int, answer: str) -> list[float | None]:
            found: list[float | None] = [None] * len(which)
            for number, reward in zip(asked[place], score_some(answer, self._row, asked[place]), strict=True):
                found[number] = reward
            return found

        return self._scored(answers, whole, lambda found: tuple(float(each) for each in found if each is not None))

    def _scored(
        self,
        answers: Sequence[str],
        score: Callable[[int, str], Sequence[float | None]],
        vector: Callable[[Sequence[float | None]], Vector],
    ) -> Sequence[Vector | Evaluation]:
        """Vectors with what the task says of them; ``score`` gives all D components, None for what is not measured."""

        def one(place: int, answer: str) -> Vector | Evaluation:
            found = score(place, answer)
            if self._feedback is None:
                return vector(found)
            return Evaluation(vector=vector(found), artifact=self._feedback(answer, self._row, found))

        return score_each(answers, one, getattr(self._task, "concurrency", 1))

    def _which(self) -> tuple[bool, ...]:
        """Which components apply: what the first answer showed, else what an empty one shows."""
        if self._applies is None:
            self._restricted(self._task.score("", self._row))
        assert self._applies is not None
        return self._applies

    def _restricted(self, found: Sequence[float | None]) -> Vector:
        which = tuple(reward is not None for reward in found)
        if self._applies is None:
            if not any(which):
                raise ValueError(f"no component applies to problem {self.id!r}: expected one at least. Leave it out.")
            self._applies = which
        if which != self._applies:
            raise ValueError(
                f"components {_numbers(which)} apply to an answer of problem {self.id!r} and {_numbers(self._applies)} "
                "to others: expected the same for all answers of a row. Give 0, not None, to an answer that fails."
            )
        return tuple(float(reward) for reward in found if reward is not None)


def _way(vary: Vary, task: Task, prompt: Prompt) -> Vary:
    has_prefix = hasattr(task, "mutation_prefix")
    if vary not in ("auto", "prefix", "prompt", "none"):
        raise ValueError(f"vary is {vary!r}: expected 'auto', 'prefix', 'prompt' or 'none'.")
    if vary == "prefix" and not has_prefix:
        raise ValueError(
            f"vary is 'prefix' and the task {type(task).__name__} has no mutation_prefix: expected that method. Use "
            "'prompt' for a language model, or 'none'."
        )
    if vary != "auto":
        return vary
    if isinstance(prompt, str) and has_prefix:
        return "prefix"
    return "none" if isinstance(prompt, str) and hasattr(task, "vocabulary") else "prompt"


def _numbers(which: Sequence[bool]) -> str:
    return ", ".join(str(i) for i, applies in enumerate(which, start=1) if applies) or "none"


def _prompt_id(prompt: Prompt) -> str:
    from vpo.weightings import prompt_key  # here, because it brings torch along

    return f"{prompt_key(prompt):016x}"
