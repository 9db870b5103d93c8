"""Solutions of a word problem in three formats, right or wrong on purpose, with all steps or in one expression.

``python``: a function, as in TinyGSM. ``tagged``: statements between ``<llm-code>`` tags, as in OpenMathInstruct-1.
``prose``: sentences that compute as they go and end in "the answer is". The first two leave the arithmetic to whoever
reads the program, the third does it itself: their accuracies differ for a small policy, as they do in Echo Chamber
(arXiv 2504.07912). The same solution is laid out as words with spaces between, on one line, for word-level tokenizers,
or as text with lines.
"""

from __future__ import annotations

import random
from typing import Literal

from vpo.tasks.format_mixture.problems import Problem, Step, apply

Format = Literal["python", "tagged", "prose"]
FORMATS: tuple[Format, ...] = ("python", "tagged", "prose")
Layout = Literal["words", "text"]
VARIABLES = ("a", "b", "c", "d")
MARKER = "the answer is"


def write_solution(problem: Problem, form: Format, layout: Layout = "words", is_compact: bool = False) -> str:
    """A right solution.

    Args:
        problem: The problem.
        form: "python", "tagged" or "prose".
        layout: "words": one line, a space between all words. "text": as people write it.
        is_compact: All steps in one expression, instead of one after the other.
    """
    return _laid_out(form, _statements(problem, problem.steps, is_compact), layout)


def write_mistaken_solution(
    problem: Problem, form: Format, rng: random.Random, layout: Layout = "words", is_compact: bool = False
) -> str:
    """A solution with one wrong operand or one wrong operator in it, and what follows from that.

    Args:
        problem: The problem.
        form: As for `write_solution`.
        rng: Draws the mistake.
        layout: As for `write_solution`.
        is_compact: As for `write_solution`.
    """
    steps = mistaken_steps(problem, rng)
    return _laid_out(form, _statements(problem, steps, is_compact), layout)


def mistaken_steps(problem: Problem, rng: random.Random) -> tuple[Step, ...]:
    """The steps with one of them changed: all numbers stay whole and positive, and the answer is another."""
    found = []
    for place, step in enumerate(problem.steps):
        for operator in ("+", "-", "*", "/"):
            for operand in range(max(1, step.operand - 2), step.operand + 3):
                is_one_change = (operator != step.operator) != (operand != step.operand)
                changed = (*problem.steps[:place], Step(operator, operand, 0), *problem.steps[place + 1 :])
                value = _answer(problem.start, changed) if is_one_change else None
                if value is not None and value != problem.values[-1]:
                    found.append(changed)
    return rng.choice(found)


def _answer(start: int, steps: tuple[Step, ...]) -> int | None:
    """The answer to changed steps; None if a number is no longer whole or positive, or above 99."""
    value = start
    for step in steps:
        if step.operator == "/" and value % step.operand:
            return None
        value = apply(step.operator, value, step.operand)
        if not 1 <= value <= 99:
            return None
    return value


def _statements(problem: Problem, steps: tuple[Step, ...], is_compact: bool) -> list[tuple[str, int]]:
    """Expressions and their values: one a step, in numbers and the variable before, or one for all."""
    value, statements = problem.start, []
    expression = str(value)
    for number, step in enumerate(steps):
        value = apply(step.operator, value, step.operand)
        if is_compact:
            inner = f"( {expression} )" if number and step.operator in "*/" else expression
            expression = f"{inner} {step.operator} {step.operand}"
        else:
            before = VARIABLES[number - 1] if number else str(problem.start)
            statements.append((f"{before} {step.operator} {step.operand}", value))
    return [(expression, value)] if is_compact else statements


def _laid_out(form: Format, statements: list[tuple[str, int]], layout: Layout) -> str:
    last = VARIABLES[len(statements) - 1]
    assigned = [f"{name} = {expression}" for name, (expression, _) in zip(VARIABLES, statements, strict=False)]
    if form == "python":
        body = [*assigned, f"return {last}"]
        return "def solution ( ) : " + " ; ".join(body) if layout == "words" else _lines("def solution():", body)
    if form == "tagged":
        body = [*assigned, last]
        if layout == "words":
            return f"<llm-code> {' ; '.join(body)} </llm-code>"
        return "\n".join(["<llm-code>", *map(_tight, body), "</llm-code>"])
    return _prose(statements, layout)


def _prose(statements: list[tuple[str, int]], layout: Layout) -> str:
    known: dict[str, int] = {}
    sentences = []
    for name, (expression, value) in zip(VARIABLES, statements, strict=False):
        words = [str(known.get(word, word)) for word in expression.split()]
        sentences.append(f"{'then' if known else 'first'} {' '.join(words)} = {value} so there are {value} .")
        known[name] = value
    sentences.append(f"{MARKER} {statements[-1][1]} .")
    if layout == "words":
        return " ".join(sentences)
    return " ".join(_tight(sentence).replace(" .", ".").capitalize() for sentence in sentences)


def _lines(head: str, body: list[str]) -> str:
    return "\n".join([head, *("    " + _tight(line) for line in body)])


def _tight(words: str) -> str:
    return words.replace("( ", "(").replace(" )", ")")
