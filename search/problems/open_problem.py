"""What the packaged open problems have in common: a program is asked for, run in the sandbox, and judged strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.problems.function_problem import FunctionProblem
from search.problems.programs import ProgramEvaluator
from search.records import Evaluation, Prompt
from vpo.answers import AnswerFormat
from vpo.sandbox import Limits, Sandbox
from vpo.tasks.code.program import extract_program


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a packaged problem is asked and run.

    Args:
        num_answers: m programs a completion; 1 asks for no tags.
        tag: Name of the tags around them.
        chat: Whether the prompt is a chat message of the user, or plain text.
        limits: Of each case; None for the problem's own.
        sandbox: Where candidates run; None for the one that all problems of this process share.
    """

    num_answers: int = 1
    tag: str = "program"
    chat: bool = True
    limits: Limits | None = None
    sandbox: Sandbox | None = None


@dataclass(frozen=True, kw_only=True)
class BestKnown:
    """The best that was ever reported.

    Attributes:
        scalar: As `FunctionProblem.scalar` counts it.
        source: Who, where and in which terms.
    """

    scalar: float
    source: str


class OpenProblem(FunctionProblem):
    """A packaged problem.

    Args:
        name: Of the kind of problem; the id may say more.
        statement: What is asked for, without the form of answers.
        seed_program: A program that works; part of the prompt.
        evaluator: Runs and scores candidates.
        w_star: Weights of the evaluator's components.
        best_known: None where the options ask for something that nobody has reported.
        references: Scalars of simple and of published solutions, by name.
        held_out: The same on cases that no search sees, for problems whose solutions should generalise.
        setting: How it is asked and run.
        id: Unique name.
    """

    def __init__(
        self,
        *,
        name: str,
        statement: str,
        seed_program: str,
        evaluator: ProgramEvaluator,
        w_star: Sequence[float],
        best_known: BestKnown | None,
        setting: Setting,
        id: str,
        references: Mapping[str, float] | None = None,
        held_out: ProgramEvaluator | None = None,
    ) -> None:
        self.name = name
        self.seed_program = seed_program.strip() + "\n"
        self.best_known = best_known
        self.references: dict[str, float] = dict(references or {})
        self._held_out = held_out
        answer_format = AnswerFormat(num_answers=setting.num_answers, tag=setting.tag)
        text = (
            f"{statement.strip()}\n\nA program that works, and can be beaten:\n```python\n{self.seed_program}```\n\n"
            "Write a better program, whole, in Python; numpy and scipy are there. It runs alone, without files and "
            "without network. Reason first. Put the program into a ```python block."
        )
        prompt: Prompt = [{"role": "user", "content": text}] if setting.chat else text
        super().__init__(
            evaluator,
            prompt=prompt,
            components=evaluator.components,
            w_star=w_star,
            answer_format=answer_format,
            parse=lambda completion: [extract_program(each) for each in answer_format.parse(completion).answers],
            id=id,
            language="python",
        )

    @property
    def has_held_out(self) -> bool:
        """Whether there are cases that no search sees."""
        return self._held_out is not None

    def evaluate_held_out(self, programs: Sequence[str]) -> list[Evaluation]:
        """Score programs on cases that no search sees. Call it once, for what is reported.

        Raises:
            ValueError: The problem has no such cases: it asks for one object, not for something that generalises.
        """
        if self._held_out is None:
            raise ValueError(f"{self.id} has no held-out cases: expected a problem whose solutions should generalise.")
        return self._held_out.batch(programs)


def only_last(num: int) -> tuple[float, ...]:
    """w* of a problem of growing size: the largest counts, the others are steps on the way."""
    return (0.0,) * (num - 1) + (1.0,)


def check_sizes(sizes: int | Sequence[int], least: int, most: int, what: str) -> tuple[int, ...]:
    """Distinct sizes in growing order.

    Raises:
        ValueError: They are none, not whole, twice the same, or out of range.
    """
    found = tuple(sizes) if not isinstance(sizes, int) else (sizes,)
    whole = all(isinstance(size, int) and not isinstance(size, bool) and least <= size <= most for size in found)
    if not found or not whole or len(set(found)) != len(found):
        raise ValueError(f"{what} are {sizes!r}: expected distinct whole numbers from {least} to {most}.")
    return tuple(sorted(found))
