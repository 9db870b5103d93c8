"""What a task is: prompts, the components of a vector reward, and the scalar w* of deployment.

A task has a name, rows (one a prompt, as a `datasets.Dataset`), a scorer that reads one answer and one row, and the
weights that answers are judged by in the end. Trainers use `dataset` and `reward_funcs`, search uses `score`, `vpo
tasks check` uses all of it. Nothing has to be inherited: whatever has these names is a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datasets import Dataset

Row = Mapping[str, Any]
Vector = tuple[float | None, ...]  # one entry a component; None: the component does not apply to this prompt
RewardFunc = Callable[..., Any]  # as TRL calls it: (prompts, completions, **columns) -> one vector a completion


@runtime_checkable
class Task(Protocol):
    """A source of prompts with a vector reward.

    Three more methods are used where they are: ``label(answer, row) -> str``, the kind of an answer whatever it earns,
    for monitors; ``attempt(row, rng: random.Random) -> str``, an answer of middling quality, for checks; and
    ``score_some(answer, row, components) -> tuple[float, ...]``, the rewards of the components that are asked for by
    number, out of those that apply to the row, without the cost of the others, for a cascade in search.

    Attributes:
        name: How it is found and what metrics are named by.
        components: Names of the D components, in the order of every vector. All are oriented: more is better.
        w_star: D weights that sum to 1, the scalar that answers are judged by in deployment (and that GRPO trains on).
        tag: Name of the tags around an answer when several are asked for: "response" gives ``<response_1>``.
        reward_funcs: Reward functions of TRL's kind that return, together, the vector of each answer.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (the class's docstring says it)
    @property
    def components(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def w_star(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def tag(self) -> str: ...  # noqa: D102
    @property
    def reward_funcs(self) -> Sequence[RewardFunc]: ...  # noqa: D102

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """Prompts of a split.

        Args:
            split: "train" or "test".
            size: Rows wanted. A task that generates its rows gives exactly so many, one that reads them at most.
            num_answers: Answers that a completion will be asked for. The request itself is the trainer's
                (`ask_for_answers`); a task uses the number only where its own wording depends on it.
            seed: Which rows: those of another seed are others, or in another order. None: the task's own choice.

        Returns:
            A column ``prompt`` (chat messages for tasks of language models, else text), and the columns that `score`
            reads.

        Raises:
            ValueError: Unknown split; rows that cannot be had, or a bad one, named by its number and column.
        """
        ...

    def score(self, answer: str, row: Row) -> Vector:
        """The reward vector of one answer: D finite numbers, or None where a component does not apply to the row.

        Never raises for what an answer may hold, which is any text.
        """
        ...

    def reference(self, row: Row) -> str | None:
        """An answer to the row that earns 1 in every component that applies; None where there is none."""
        ...


def check_split(split: str) -> str:
    """The split, if it is one.

    Raises:
        ValueError: It is neither "train" nor "test".
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is {split!r}: expected 'train' or 'test'.")
    return split
