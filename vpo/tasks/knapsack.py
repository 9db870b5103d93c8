"""The multi-objective 0/1 knapsack problem (Zitzler and Thiele, 1999), small enough for a policy of minutes.

Items have a weight and a value in each of several currencies; a choice of items is worth nothing when it is too heavy.
Each item is good in one currency, so what fits is a trade-off between them. Small enough that all choices can be
enumerated: the front is known.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vpo.answers import AnswerFormat

if TYPE_CHECKING:
    from datasets import Dataset

_LETTERS = "abcdefghijkl"
_MOST_WEIGHT, _MOST_VALUE, _LEAST_MAIN, _MOST_SIDE = 4, 9, 4, 2


@dataclass(frozen=True)
class Knapsack:
    """One instance: weights and values of items a, b, c..., and what fits.

    Attributes:
        weights: (N,) weights.
        values: (N, D) values in each currency.
        capacity: Most weight of a choice.
    """

    weights: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    capacity: int

    def key(self) -> int:
        """Stable 64-bit hash."""
        return int.from_bytes(hashlib.blake2b(self.to_json().encode(), digest_size=8).digest(), "big")

    def to_json(self) -> str:
        """Compact JSON, the form in which an instance travels in a dataset row."""
        return json.dumps([self.weights, self.values, self.capacity], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Knapsack:
        """Inverse of :meth:`to_json`."""
        weights, values, capacity = json.loads(text)
        return cls(tuple(weights), tuple(map(tuple, values)), capacity)

    def worth(self, items: Sequence[int]) -> tuple[int, ...]:
        """Value of a choice in each currency."""
        return tuple(sum(self.values[i][j] for i in items) for j in range(len(self.values[0])))

    def fits(self, items: Sequence[int]) -> bool:
        """Whether a choice is light enough."""
        return sum(self.weights[i] for i in items) <= self.capacity


@lru_cache(maxsize=4096)
def _choices(knapsack: Knapsack) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Worth of every choice that fits, without repeats, and the best in each currency."""
    count = len(knapsack.weights)
    subsets = ([i for i in range(count) if code >> i & 1] for code in range(1, 1 << count))
    worths = {knapsack.worth(items) for items in subsets if knapsack.fits(items)}
    best = tuple(max(worth[j] for worth in worths) for j in range(len(knapsack.values[0])))
    return tuple(sorted(worths)), best


@dataclass(frozen=True)
class KnapsackTask:
    """Choose items: one reward component a currency, the share of the most that could be had of it.

    Args:
        num_items: N, 4 to 12.
        num_currencies: D, at least 2.
        seed: Seed of the stream of instances.

    Raises:
        ValueError: A size is out of range.
    """

    num_items: int = 8
    num_currencies: int = 3
    seed: int = 0

    name = "knapsack"
    tag = "choice"

    def __post_init__(self) -> None:
        if not 4 <= self.num_items <= len(_LETTERS):
            raise ValueError(f"num_items is {self.num_items}: expected 4 to {len(_LETTERS)}.")
        if not 2 <= self.num_currencies <= self.num_items:
            raise ValueError(f"num_currencies is {self.num_currencies}: expected 2 to {self.num_items}, the items.")

    @property
    def components(self) -> tuple[str, ...]:
        """One name a currency."""
        return tuple(f"currency_{j + 1}" for j in range(self.num_currencies))

    @property
    def w_star(self) -> tuple[float, ...]:
        """All currencies alike."""
        return (1 / self.num_currencies,) * self.num_currencies

    def answer_format(self, num_answers: int) -> AnswerFormat:
        """How ``num_answers`` choices stand in one completion."""
        return AnswerFormat(num_answers=num_answers, tag=self.tag)

    def examples(self, split: str, seed: int | None = None) -> Iterator[Knapsack]:
        """Endless stream of the instances of a split; a tenth of all, chosen by hash, are the test split.

        Raises:
            ValueError: Unknown split.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split is {split!r}: expected 'train' or 'test'.")
        rng = random.Random(f"knapsack-{self.seed if seed is None else seed}")
        while True:
            weights = tuple(rng.randint(1, _MOST_WEIGHT) for _ in range(self.num_items))
            mains = [i % self.num_currencies for i in range(self.num_items)]
            rng.shuffle(mains)
            values = tuple(
                tuple(
                    rng.randint(_LEAST_MAIN, _MOST_VALUE) if j == main else rng.randint(0, _MOST_SIDE)
                    for j in range(self.num_currencies)
                )
                for main in mains
            )
            found = Knapsack(weights, values, max(round(0.4 * sum(weights)), *weights))
            if (found.key() % 10 == 0) == (split == "test"):
                yield found

    def row(self, example: Knapsack, num_answers: int) -> dict[str, str]:
        """Dataset row: ``prompt`` and the JSON of the instance."""
        return {"prompt": self.prompt(example, num_answers), "knapsack": example.to_json()}

    def prompt(self, example: Knapsack, num_answers: int) -> str:
        """Items with weight and values, capacity, and the number of choices wanted."""
        items = zip(_LETTERS, example.weights, example.values, strict=False)
        lines = [f"{letter} {weight} {' '.join(map(str, values))}" for letter, weight, values in items]
        return "\n".join(lines) + f"\ncapacity {example.capacity} choices {num_answers}\n"

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """``size`` rows of a split with columns ``prompt`` and ``knapsack``."""
        from datasets import Dataset

        stream = self.examples(split, seed)
        return Dataset.from_list([self.row(next(stream), num_answers) for _ in range(size)])

    def score(self, answer: str, row: dict[str, Any]) -> tuple[float, ...]:
        """Shares of the most that could be had; zeros unless the items are known, in order, once each, and fit."""
        return self._score(answer, Knapsack.from_json(row["knapsack"]))

    def _score(self, answer: str, knapsack: Knapsack) -> tuple[float, ...]:
        items = self._items(answer)
        if not items or not knapsack.fits(items):
            return (0.0,) * self.num_currencies
        return tuple(have / most for have, most in zip(knapsack.worth(items), _choices(knapsack)[1], strict=True))

    def _items(self, answer: str) -> list[int]:
        words, known = answer.split(), _LETTERS[: self.num_items]
        in_order = all(a < b for a, b in itertools.pairwise(words))
        return [known.index(word) for word in words] if in_order and all(w in known for w in words) else []

    def reference(self, row: dict[str, Any]) -> str | None:
        """None: what is best in one currency is not in the others."""
        return None

    def attempt(self, row: dict[str, Any], rng: random.Random) -> str:
        """A teacher's answer."""
        return self.teacher_completion(Knapsack.from_json(row["knapsack"]), 1, rng)

    def label(self, answer: str, row: dict[str, Any]) -> str:
        """The currency that most of the chosen items are good in; says nothing about success."""
        items, values = self._items(answer), Knapsack.from_json(row["knapsack"]).values
        if not items:
            return "other"
        mains = [values[i].index(max(values[i])) for i in items]
        return self.components[max(range(self.num_currencies), key=mains.count)]

    @property
    def reward_funcs(self) -> list[Callable[..., list[tuple[float, ...]]]]:
        """One TRL reward function that returns all components of each answer."""

        def knapsack_reward(
            prompts: list[str], completions: list[str], knapsack: list[str], **_: Any
        ) -> list[tuple[float, ...]]:
            known = {text: Knapsack.from_json(text) for text in set(knapsack)}
            return [self._score(c, known[k]) for c, k in zip(completions, knapsack, strict=True)]

        knapsack_reward.components = self.components  # type: ignore[attr-defined]
        return [knapsack_reward]

    def teacher_completion(self, example: Knapsack, num_answers: int, rng: random.Random) -> str:
        """Independent random choices that fit and leave no room: items in random order, each taken if it fits."""
        choices = []
        for _ in range(num_answers):
            taken: list[int] = []
            for item in rng.sample(range(self.num_items), self.num_items):
                if example.fits([*taken, item]):
                    taken.append(item)
            choices.append(" ".join(_LETTERS[i] for i in sorted(taken)))
        return self.answer_format(num_answers).render(choices) if num_answers > 1 else choices[0]

    def front(self, example: Knapsack) -> list[tuple[float, ...]]:
        """Reward vectors that no other choice dominates."""
        worths, best = _choices(example)
        kept = [w for w in worths if not any(u != w and all(a >= b for a, b in zip(u, w, strict=True)) for u in worths)]
        return [tuple(have / most for have, most in zip(worth, best, strict=True)) for worth in kept]

    def vocabulary(self, num_answers: int) -> list[str]:
        """Every word a prompt or completion can hold."""
        numbers = [str(n) for n in range(max(_MOST_WEIGHT * self.num_items, _MOST_VALUE, num_answers) + 1)]
        tags = [f"<{slash}{self.tag}_{i}>" for i in range(1, num_answers + 1) for slash in ("", "/")]
        return [*_LETTERS[: self.num_items], "capacity", "choices", *numbers, *tags]

    @property
    def prompt_tokens(self) -> int:
        """Words of a prompt."""
        return self.num_items * (2 + self.num_currencies) + 4

    def completion_tokens(self, num_answers: int) -> int:
        """Most words of a completion with all items in every choice, with tags and the end token."""
        return num_answers * (self.num_items + 2) + 1 if num_answers > 1 else self.num_items + 1
