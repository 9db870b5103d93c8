"""A search problem without a model: write digits, earn a component for each slot that matches a hidden target."""

from __future__ import annotations

import random
from collections.abc import Sequence

from search.problem import Problem
from search.records import Candidate, Prompt, Variation, Vector
from search.samplers import ScriptedSampler
from search.seeds import stable_hash
from vpo.answers import AnswerFormat


class ToyProblem:
    """``num_slots`` digits in [0, num_symbols); component i is 1 if digit i is the hidden one."""

    def __init__(self, name: str, *, num_answers: int = 3, num_slots: int = 4, num_symbols: int = 4) -> None:
        self.id = name
        self.prompt: Prompt = f"problem {name}"
        self.num_answers = num_answers
        self.format = AnswerFormat(num_answers=num_answers)
        rng = random.Random(stable_hash("target", name))
        self.target = [str(rng.randrange(num_symbols)) for _ in range(num_slots)]
        self.evaluated: list[str] = []

    def parse(self, text: str) -> list[str]:
        return list(self.format.parse(text).answers)

    def evaluate(self, answers: Sequence[str]) -> list[Vector]:
        self.evaluated.extend(answers)
        return [self.score(answer) for answer in answers]

    def score(self, answer: str) -> Vector:
        digits = answer.split()
        if len(digits) != len(self.target):
            return (0.0,) * len(self.target)
        return tuple(float(digit == wanted) for digit, wanted in zip(digits, self.target, strict=True))

    def scalar(self, vector: Vector) -> float:
        return sum(vector) / len(vector)

    def vary(self, parent: Candidate, inspirations: Sequence[Candidate], rng: random.Random) -> Variation | None:
        digits = parent.answer.split()
        kept = digits[: rng.randrange(len(digits))] if digits else []
        opening = ["<answer_1>"] if self.num_answers > 1 else []
        return Variation(prefix=" ".join([*opening, *kept]))


def toy_sampler(problem: ToyProblem, *, num_symbols: int = 4, failure: float = 0.1) -> ScriptedSampler:
    """Writes uniformly random digits in the format of ``problem``; with probability ``failure`` forgets its tags."""
    m, slots = problem.num_answers, len(problem.target)

    def script(prompt: Prompt, prefix: str, seed: int) -> str:
        rng = random.Random(stable_hash(prompt, prefix, seed))
        if rng.random() < failure:
            return " no idea" if m > 1 else ""
        words: list[str] = []
        for number in range(1, m + 1):
            digits = [str(rng.randrange(num_symbols)) for _ in range(slots)]
            words += [f"<answer_{number}>", *digits, f"</answer_{number}>"] if m > 1 else digits
        return (" " if prefix else "") + " ".join(words[len(prefix.split()) :])

    return ScriptedSampler(script)


def toy_problems(num: int, **options: int) -> list[ToyProblem]:
    return [ToyProblem(f"toy-{i}", **options) for i in range(num)]


_: type[Problem] = ToyProblem  # the type checker holds the toy to the protocol
