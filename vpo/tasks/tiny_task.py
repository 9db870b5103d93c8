"""What a task needs so that a policy of a few hundred thousand parameters can be taught and judged on it.

Beside what any task has (prompt, components, score, w*), it has a vocabulary of whole words, a teacher whose answers
the policy is warm-started on, and the front of what any answer can reach, which no table of results should be without.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from vpo.answers import AnswerFormat


class Example(Protocol):
    """One instance of a task."""

    def key(self) -> int:
        """Stable hash of what makes this instance this instance."""
        ...


class TinyTask(Protocol):
    """A task with endless examples, words, a teacher and a known front; ``E`` below is its own kind of example."""

    name: str
    components: tuple[str, ...]
    w_star: tuple[float, ...]
    tag: str

    @property
    def reward_funcs(self) -> list[Callable[..., Any]]:
        """TRL reward functions."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Words of a prompt."""
        ...

    def examples(self, split: str, seed: int | None = None) -> Iterator[Any]:
        """Endless stream of the examples of a split, "train" or "test"."""
        ...

    def prompt(self, example: Any, num_answers: int) -> str:
        """What the policy reads."""
        ...

    def row(self, example: Any, num_answers: int) -> dict[str, str]:
        """Dataset row: the prompt, and what a score needs."""
        ...

    def score(self, answer: str, row: dict[str, Any]) -> tuple[float, ...]:
        """Reward vector of an answer; all zeros if it is not valid."""
        ...

    def label(self, answer: str, row: dict[str, Any]) -> str:
        """Kind of an answer; says nothing about success."""
        ...

    def answer_format(self, num_answers: int) -> AnswerFormat:
        """How answers stand in one completion."""
        ...

    def completion_tokens(self, num_answers: int) -> int:
        """Most words of a completion, with tags and the end token."""
        ...

    def teacher_completion(self, example: Any, num_answers: int, rng: random.Random) -> str:
        """Independent random valid answers in the answer format."""
        ...

    def vocabulary(self, num_answers: int) -> list[str]:
        """Every word that a prompt or completion can hold."""
        ...

    def front(self, example: Any) -> Sequence[tuple[float, ...]]:
        """Reward vectors that no other answer dominates."""
        ...
