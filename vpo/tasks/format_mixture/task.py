"""Arithmetic word problems that can be answered in three formats, with a policy that starts from a mixture of them.

RL moves a policy to one format within an epoch (Echo Chamber, arXiv 2504.07912), and which one wins is decided by how
often each is used and how often each is right. Here both can be set: the shares of the formats in the warm start, and
for each format how often its teacher is wrong. What a format costs in tokens has no part in the reward. Components:

- ``correct``: the final number is right; the paper's reward, and all of w*.
- ``steps``: the problem's numbers on the way, in order, among those that are computed, whatever comes out at the end;
  the share of either, whichever are more, so that computing much else does not pay.
- ``compact``: for right answers, 1 where everything is one expression, 0 where there is one for each step or more.

The last two pull apart: showing S steps earns (1, 1, 0), one expression (1, 1/S, 1). With one step they say the same as
``correct``. No component looks at the format.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from vpo.answers import AnswerFormat
from vpo.tasks.format_mixture.problems import ITEMS, NAMES, PHRASES, WORDS_A_SENTENCE, Problem, problems
from vpo.tasks.format_mixture.reading import form_of, read
from vpo.tasks.format_mixture.solutions import (
    FORMATS,
    VARIABLES,
    Format,
    Layout,
    write_mistaken_solution,
    write_solution,
)
from vpo.tasks.protocol import RewardFunc, Row, check_split
from vpo.tasks.reward import reward_function

if TYPE_CHECKING:
    from datasets import Dataset

_MIXTURE = {"python": 0.5, "tagged": 0.3, "prose": 0.2}
_OPERATORS = "+-*/"
_REQUEST = """\
{problem}

Solve it in one of three ways: a Python function solution() that returns the number; statements between <llm-code> and \
</llm-code> whose last line is the number; or sentences that end in "The answer is N."."""


@dataclass(frozen=True)
class FormatMixtureTask:
    """Word problems answered in three formats: Python, tagged code, prose.

    Args:
        num_steps: Steps of a problem, 1 to 4: how hard it is to set up.
        largest: Of all numbers on the way, 10 to 99: how hard it is to compute, which only prose has to.
        operators: Some of "+-*/", with "-" and one of "+" and "*" among them.
        mixture: Shares of the formats among the teacher's answers, which sum to 1.
        error_rates: For each format, the share of the teacher's answers with a mistake.
        compact_share: Share of the teacher's answers in one expression.
        wording: "words", for a tiny policy that knows nothing else; "chat", for a language model, with a request that
            names the formats and the teacher's answers laid out in lines.
        seed: Of the stream of problems.

    Raises:
        ValueError: A value is out of range.
    """

    num_steps: int = 2
    largest: int = 20
    operators: str = _OPERATORS
    mixture: Mapping[str, float] = field(default_factory=lambda: dict(_MIXTURE))
    error_rates: Mapping[str, float] = field(default_factory=dict)
    compact_share: float = 0.25
    wording: Literal["words", "chat"] = "words"
    seed: int = 0

    name = "format_mixture"
    components = ("correct", "steps", "compact")
    w_star = (1.0, 0.0, 0.0)
    tag = "answer"

    def __post_init__(self) -> None:
        for option, low, high in (("num_steps", 1, len(VARIABLES)), ("largest", 10, 99)):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{option} is {value!r}: expected a whole number from {low} to {high}.")
        known = isinstance(self.operators, str) and set(self.operators) <= set(_OPERATORS)
        if not known or "-" not in self.operators or not set(self.operators) & set("+*"):
            raise ValueError(
                f"operators is {self.operators!r}: expected some of {_OPERATORS!r}, with '-' and one of '+' and '*' "
                "among them: otherwise a number comes to where no step can follow. Use '+-' for the easiest."
            )
        object.__setattr__(self, "mixture", self._per_format("mixture", self.mixture))
        object.__setattr__(self, "error_rates", self._per_format("error_rates", self.error_rates))
        if not math.isclose(sum(self.mixture.values()), 1.0, abs_tol=1e-6):
            raise ValueError(
                f"mixture is {dict(self.mixture)}, which sums to {sum(self.mixture.values()):g}: expected shares that "
                "sum to 1. Formats that are not named have share 0."
            )
        if not _is_share(self.compact_share):
            raise ValueError(f"compact_share is {self.compact_share!r}: expected a share in [0, 1].")
        if self.wording not in ("words", "chat"):
            raise ValueError(f"wording is {self.wording!r}: expected 'words' or 'chat'.")

    def answer_format(self, num_answers: int) -> AnswerFormat:
        """How ``num_answers`` solutions stand in one completion."""
        return AnswerFormat(num_answers=num_answers, tag=self.tag)

    def examples(self, split: str, seed: int | None = None) -> Iterator[Problem]:
        """Endless stream of the problems of a split; a tenth of all, chosen by hash, are the test split."""
        is_test = check_split(split) == "test"
        stream = problems(self.num_steps, self.largest, self.operators, self.seed if seed is None else seed)
        return (problem for problem in stream if (problem.key() % 10 == 0) == is_test)

    def row(self, example: Problem, num_answers: int) -> dict[str, Any]:
        """Dataset row: ``prompt`` and the JSON of the problem."""
        prompt: Any = self.prompt(example, num_answers)
        if self.wording == "chat":
            prompt = [{"role": "user", "content": prompt}]
        return {"prompt": prompt, "problem": example.to_json()}

    def prompt(self, example: Problem, num_answers: int) -> str:
        """The problem and the number of answers wanted; for language models a request, which says no number."""
        if self.wording == "words":
            return "\n".join(example.sentences()) + f"\nanswers {num_answers}\n"
        text = " ".join(sentence[0].upper() + sentence[1:] for sentence in example.sentences())
        return _REQUEST.format(problem=text.replace(" .", ".").replace(" ?", "?"))

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """``size`` rows of a split with columns ``prompt`` and ``problem``."""
        from datasets import Dataset

        if size < 1:
            raise ValueError(f"size is {size}: expected 1 or more rows.")
        stream = self.examples(split, seed)
        return Dataset.from_list([self.row(next(stream), num_answers) for _ in range(size)])

    def score(self, answer: str, row: Row) -> tuple[float, ...]:
        """Correctness, steps shown and compactness of one answer; zeros if no number can be read from it."""
        found, wanted = read(answer), Problem.from_json(row["problem"]).values
        if found.value is None:
            return (0.0, 0.0, 0.0)
        correct = float(found.value == wanted[-1])
        if len(wanted) == 1:
            return (correct, correct, correct)
        computed = max(len(found.values), 1)
        compact = max(0.0, (len(wanted) - computed) / (len(wanted) - 1))
        steps = _in_order(found.values, wanted) / max(len(wanted), len(found.values))
        return (correct, steps, correct * compact)

    @cached_property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all components."""
        return [reward_function(self.name, self.components, self.score)]

    def reference(self, row: Row) -> str | None:
        """A solution in one step; None for longer problems, where what shows all steps is not compact."""
        problem = Problem.from_json(row["problem"])
        return write_solution(problem, "python", self._layout) if len(problem.steps) == 1 else None

    def attempt(self, row: Row, rng: random.Random) -> str:
        """A teacher's answer."""
        return self.teacher_completion(Problem.from_json(row["problem"]), 1, rng)

    def label(self, answer: str, row: Row) -> str:
        """Format of an answer by its structure: python, tagged, prose, empty or other."""
        return form_of(answer)

    def teacher_completion(self, example: Problem, num_answers: int, rng: random.Random) -> str:
        """Independent answers: formats by the mixture, mistakes by the format's error rate."""
        answers = []
        for form in rng.choices(FORMATS, [self.mixture[form] for form in FORMATS], k=num_answers):
            is_compact = rng.random() < self.compact_share
            if rng.random() < self.error_rates[form]:
                answers.append(write_mistaken_solution(example, form, rng, self._layout, is_compact))
            else:
                answers.append(write_solution(example, form, self._layout, is_compact))
        return self.answer_format(num_answers).render(answers) if num_answers > 1 else answers[0]

    def front(self, example: Problem) -> list[tuple[float, ...]]:
        """Reward vectors that no other answer dominates: 1 to S expressions, each of which shows a step."""
        count = len(example.steps)
        if count == 1:
            return [(1.0, 1.0, 1.0)]
        return [(1.0, shown / count, (count - shown) / (count - 1)) for shown in range(1, count + 1)]

    def vocabulary(self, num_answers: int) -> list[str]:
        """Every word a prompt or a teacher's completion can hold."""
        phrases = [phrase for each in PHRASES.values() for phrase in each]
        words = ["at first has how many now ?", *phrases, "def solution ( ) : ; = return <llm-code> </llm-code>"]
        words += [*NAMES, *ITEMS, *VARIABLES, *_OPERATORS, "first then so there are . the answer is answers"]
        tags = [f"<{slash}{self.tag}_{i}>" for i in range(1, num_answers + 1) for slash in ("", "/")]
        numbers = [str(number) for number in range(max(99, num_answers) + 1)]
        found = dict.fromkeys(word for text in words for word in text.split() if word[0] != "{")
        return [*found, *numbers, *tags]

    @property
    def prompt_tokens(self) -> int:
        """Words of a prompt."""
        return WORDS_A_SENTENCE * (self.num_steps + 2) + 2

    def completion_tokens(self, num_answers: int) -> int:
        """Most words of a completion, with tags and the end token: prose with all steps is the longest."""
        longest = 11 * self.num_steps + 5
        return num_answers * (longest + 2) + 1 if num_answers > 1 else longest + 1

    @property
    def _layout(self) -> Layout:
        return "words" if self.wording == "words" else "text"

    def _per_format(self, option: str, given: Any) -> dict[Format, float]:
        if not isinstance(given, Mapping) or given.keys() - set(FORMATS) or not all(map(_is_share, given.values())):
            raise ValueError(
                f"{option} is {given!r}: expected a share in [0, 1] for some of {', '.join(FORMATS)}. Give "
                f"{{'python': 0.1}}, for instance."
            )
        return {form: float(given.get(form, 0.0)) for form in FORMATS}


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def _in_order(values: tuple[Any, ...], wanted: tuple[int, ...]) -> int:
    """How many of the wanted numbers are among the values, in their order: each found after the one before."""
    found = place = 0
    for number in wanted:
        try:
            place = values.index(number, place) + 1
        except ValueError:
            continue
        found += 1
    return found
