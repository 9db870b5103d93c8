"""Countdown of reasoning-gym as a small model can be asked it: a short prompt, and a vector that says how near it came.

``task: reasoning_gym:countdown`` is the same questions with reasoning-gym's own prompt, some 260 tokens of a chat, and
its own score, which is 0.05 for whatever misses. A model of 135 million parameters misses nearly always, so here an
expression earns by parts (answers of one completion may be ahead in different ones):

- ``valid``: it is arithmetic with + - * / and brackets, and has a value;
- ``numbers``: F1 of the numbers in it and those that were given, each to be used once;
- ``close``: of the given numbers, 1 at the target and falling to 0 with the distance to it, which counts in shares of
  the target; 0 for other numbers, else adding the same number over and over comes close to anything;
- ``hit``: it makes the target of the given numbers, which is what reasoning-gym asks for.

Questions of the splits never meet, and a question is never asked twice within one.
"""

from __future__ import annotations

import ast
import operator
import random
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from vpo.tasks import task
from vpo.tasks.reasoning_gym.entries import in_test, stream

NUM_ANSWERS = 2
TAG = "x"  # a short one: tags are half of the tokens that a small model has to write
_CONFIG = {"min_numbers": 3, "max_numbers": 3, "min_value": 1, "max_value": 20, "min_target": 10, "max_target": 99}
_OPERATORS: dict[type, Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_LONGEST = 60  # characters of an expression that is looked at


def rows(split: str) -> Iterator[dict[str, Any]]:
    """Questions of a split, without end: numbers, target, and the expression that reasoning-gym made it from.

    Its splits are of questions as they are worded, and it words one in several ways; here the numbers decide.
    """
    seen: set[str] = set()
    for entry in stream("countdown", _CONFIG, split, seed=0):
        found = entry["metadata"]
        key = str((sorted(found["numbers"]), found["target"]))
        if key not in seen and in_test(key) == (split == "test"):
            seen.add(key)
            yield {"numbers": found["numbers"], "target": found["target"], "expression": found["expression"]}


def prompt(row: dict[str, Any]) -> list[dict[str, str]]:
    """One user message, which asks for the answers itself; without the system prompt, a third of all tokens."""
    numbers = ", ".join(map(str, row["numbers"]))
    form = _written(["expression"] * NUM_ANSWERS)
    request = f"Make {row['target']} from {numbers} in {NUM_ANSWERS} ways, as {form}"
    return [{"role": "system", "content": ""}, {"role": "user", "content": request}]


@task(
    components=("valid", "numbers", "close", "hit"),
    w_star=(0.1, 0.2, 0.3, 0.4),
    data=rows,
    prompt=prompt,
    answer="expression",
    tag=TAG,
)
def countdown(answer: str, row: dict[str, Any]) -> tuple[float, float, float, float]:
    """The four components of one expression; all 0 if it is none."""
    found = value_of(answer)
    if found is None:
        return 0.0, 0.0, 0.0, 0.0
    used, given = Counter(map(int, re.findall(r"\d+", answer))), Counter(row["numbers"])
    numbers = 2 * (used & given).total() / (used.total() + given.total())
    distance = abs(found - row["target"]) / row["target"]
    close = max(0.0, 1.0 - float(distance)) if used == given else 0.0
    return 1.0, numbers, close, float(used == given and distance == 0)


def value_of(text: str) -> Fraction | None:
    """What an expression of whole numbers, + - * / and brackets is worth; None if it is no such thing."""
    if len(text) > _LONGEST or not re.fullmatch(r"[\d+\-*/() ]+", text) or "**" in text or "//" in text:
        return None
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, KeyError):
        return None


def examples(split: str, size: int, seed: int) -> Iterator[tuple[list[dict[str, str]], str]]:
    """What the policy learns the form of an answer from: questions, and random expressions of the numbers.

    None is chosen for its value: how near an expression comes is left to reinforcement learning.
    """
    rng = random.Random(f"countdown-{split}-{seed}")
    for _, row in zip(range(size), rows(split), strict=False):
        yield prompt(row), _written([random_expression(row["numbers"], rng) for _ in range(NUM_ANSWERS)])


def _written(answers: list[str]) -> str:
    """Answers as `vpo.answers.AnswerFormat` reads them, without the line breaks that it writes: tokens are dear."""
    return "".join(f"<{TAG}_{i}>{answer}</{TAG}_{i}>" for i, answer in enumerate(answers, 1))


def random_expression(numbers: list[int], rng: random.Random) -> str:
    """Three numbers with two operators, with or without brackets."""
    a, b, c = rng.sample(numbers, 3)
    first, second = rng.choice("+-*/"), rng.choice("+-*/")
    return rng.choice((f"{a} {first} {b} {second} {c}", f"({a} {first} {b}) {second} {c}"))


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError(f"{type(node).__name__} is no arithmetic of this game.")
