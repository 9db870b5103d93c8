"""What a search needs to know of a problem, and the adapter that makes one out of a row of a vpo task."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

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
        """Score distinct answers: one (D,) vector each, in order. Must be a function of the answer alone."""
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
    """The part of a vpo task that search uses.

    ``mutation_prefix(answer, row, rng: random.Random, num_answers) -> str`` is optional: a completion cut within its
    first answer, for the policy to continue.
    """

    @property
    def w_star(self) -> tuple[float, ...]: ...  # noqa: D102 - (D,) weights of the deployment scalar

    def score(self, answer: str, row: dict[str, Any]) -> tuple[float, ...]: ...  # noqa: D102 - (D,) rewards


class TaskProblem:
    """One row of a vpo task as a search problem.

    The prompt is the row's own, as in training: a policy that is asked in another way is off its distribution.

    Args:
        task: Scores answers and names w*. If it has ``mutation_prefix``, candidates are varied by it; otherwise every
            proposal is a fresh draw.
        row: A row of ``task.dataset(...)``; its ``prompt`` already asks for the answers.
        answer_format: How m answers are read off a completion.
        id: Unique name; by default the stable hash of the row's prompt in 16 hex digits, as in the rollout log.

    Raises:
        ValueError: The row has no prompt.
    """

    def __init__(
        self, task: Task, row: Mapping[str, Any], answer_format: AnswerFormat, *, id: str | None = None
    ) -> None:
        if "prompt" not in row:
            raise ValueError(
                f"the row has columns {sorted(row)}, expected 'prompt' among them: pass a row of task.dataset(...)."
            )
        self._task = task
        self._row = dict(row)
        self._answer_format = answer_format
        self.prompt: Prompt = row["prompt"]
        self.num_answers: int = answer_format.num_answers
        self.id: str = id if id is not None else _prompt_id(row["prompt"])

    def parse(self, text: str) -> list[str]:
        """Read the answers of a completion."""
        return list(self._answer_format.parse(text).answers)

    def evaluate(self, answers: Sequence[str]) -> Sequence[Vector | Evaluation]:
        """Score each answer with the task."""
        return [tuple(self._task.score(answer, self._row)) for answer in answers]

    def scalar(self, vector: Vector) -> float:
        """Give w* . vector.

        Raises:
            ValueError: The task scores another number of components than w* weighs.
        """
        weights = self._task.w_star
        if len(weights) != len(vector):
            raise ValueError(
                f"the task scored {len(vector)} components, expected {len(weights)} as in its w_star: "
                "make score() and w_star agree."
            )
        return float(sum(weight * reward for weight, reward in zip(weights, vector, strict=True)))

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        """Ask the task for a prefix that varies the parent, or give None if it knows no way."""
        mutation_prefix = getattr(self._task, "mutation_prefix", None)
        if mutation_prefix is None:
            return None
        return Variation(prefix=mutation_prefix(parent.answer, self._row, rng, self.num_answers))


def _prompt_id(prompt: Prompt) -> str:
    from vpo.weightings import prompt_key  # here, because it brings torch along

    return f"{prompt_key(prompt):016x}"
