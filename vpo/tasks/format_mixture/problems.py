"""Word problems about somebody's things: a number, and steps that each add, take away, multiply or divide.

All numbers on the way are whole, at least 1 and at most ``largest``. Every sentence has seven words, so that a small
policy with learned positions can find the numbers; the phrases vary, so that it has to read them.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn")
ITEMS = ("apples", "books", "coins", "eggs", "pens", "stones")
# The operand is the third word of each; "{i}" is the kind of thing.
PHRASES: dict[str, tuple[str, ...]] = {
    "+": ("{n} gets {k} more {i} today .", "{n} buys {k} extra {i} there .", "{n} finds {k} new {i} outside ."),
    "-": ("{n} gives {k} of them away .", "{n} loses {k} of the {i} .", "{n} sells {k} of them again ."),
    "*": ("{n} has {k} times as many .", "{n} reaches {k} times that number ."),
    "/": ("{n} splits {k} ways keeping one .", "{n} makes {k} parts keeping one ."),
}
_BEGINNING, _QUESTION = "at first {n} has {k} {i} .", "how many {i} has {n} now ?"
WORDS_A_SENTENCE = 7
_MOST_OPERAND, _MOST_FACTOR = 9, 4


@dataclass(frozen=True)
class Step:
    """One change: its operator, its operand, and which of the phrases says it."""

    operator: str
    operand: int
    phrase: int


@dataclass(frozen=True)
class Problem:
    """One word problem.

    Attributes:
        name: Who.
        item: What.
        start: How many at first.
        steps: What happens, one or more.
    """

    name: str
    item: str
    start: int
    steps: tuple[Step, ...]

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The number after each step; the last one is the answer."""
        found = [self.start]
        for step in self.steps:
            found.append(apply(step.operator, found[-1], step.operand))
        return tuple(found[1:])

    def sentences(self) -> list[str]:
        """Beginning, one for each step, and the question, as words with spaces between."""
        who = {"n": self.name, "i": self.item}
        steps = [PHRASES[step.operator][step.phrase].format(k=step.operand, **who) for step in self.steps]
        return [_BEGINNING.format(k=self.start, **who), *steps, _QUESTION.format(**who)]

    def key(self) -> int:
        """Stable 64-bit hash."""
        return int.from_bytes(hashlib.blake2b(self.to_json().encode(), digest_size=8).digest(), "big")

    def to_json(self) -> str:
        """Compact JSON, the form in which a problem travels in a dataset row."""
        steps = [[step.operator, step.operand, step.phrase] for step in self.steps]
        return json.dumps([self.name, self.item, self.start, steps], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Problem:
        """Inverse of :meth:`to_json`."""
        name, item, start, steps = json.loads(text)
        return cls(name, item, start, tuple(Step(*step) for step in steps))


def apply(operator: str, value: int, operand: int) -> int:
    """Value after a step; a division must leave nothing over."""
    if operator == "+":
        return value + operand
    if operator == "-":
        return value - operand
    return value * operand if operator == "*" else value // operand


def draw_problem(num_steps: int, largest: int, operators: str, rng: random.Random) -> Problem:
    """A random problem; an operator that has no operand at a value gives way to another one.

    Args:
        num_steps: Steps, 1 or more.
        largest: Of all numbers on the way, 10 or more.
        operators: Some of "+-*/", "-" and one of "+" and "*" among them; others can come to where no step can follow.
        rng: Draws everything.
    """
    value = start = rng.randint(2, min(largest, 12))
    steps = []
    for _ in range(num_steps):
        choices: list[tuple[str, int]] = []
        while not choices:
            operator = rng.choice(operators)
            choices = [(operator, operand) for operand in _operands(operator, value, largest)]
        operator, operand = rng.choice(choices)
        steps.append(Step(operator, operand, rng.randrange(len(PHRASES[operator]))))
        value = apply(operator, value, operand)
    return Problem(rng.choice(NAMES), rng.choice(ITEMS), start, tuple(steps))


def problems(num_steps: int, largest: int, operators: str, seed: int) -> Iterator[Problem]:
    """Endless stream, the same for the same arguments."""
    rng = random.Random(f"format-mixture-{seed}")
    while True:
        yield draw_problem(num_steps, largest, operators, rng)


def _operands(operator: str, value: int, largest: int) -> list[int]:
    if operator == "+":
        return list(range(1, min(_MOST_OPERAND, largest - value) + 1))
    if operator == "-":
        return list(range(1, min(_MOST_OPERAND, value - 1) + 1))
    if operator == "*":
        return [factor for factor in range(2, _MOST_FACTOR + 1) if value * factor <= largest]
    return [divisor for divisor in range(2, _MOST_FACTOR + 1) if value % divisor == 0]
