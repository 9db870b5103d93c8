"""Word problems and their solutions, right and mistaken, in three formats."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from eval.formats import RuleTaxonomy
from tests.vpo.tasks.format_mixture.hand import HAND, SIZES, TASK, problem_of
from vpo.tasks.format_mixture import Problem
from vpo.tasks.format_mixture.reading import form_of, read
from vpo.tasks.format_mixture.solutions import FORMATS, mistaken_steps, write_mistaken_solution, write_solution


def test_a_problem_is_told_in_sentences_of_seven_words():
    assert HAND.values == (12, 4, 3)
    assert HAND.sentences() == [
        "at first Ann has 8 apples .",
        "Ann gets 4 more apples today .",
        "Ann splits 3 ways keeping one .",
        "Ann loses 1 of the apples .",
        "how many apples has Ann now ?",
    ]
    assert TASK.prompt(HAND, 3).endswith("now ?\nanswers 3\n")


def test_solutions_as_words_and_as_text():
    assert write_solution(HAND, "python") == "def solution ( ) : a = 8 + 4 ; b = a / 3 ; c = b - 1 ; return c"
    assert write_solution(HAND, "tagged", "text") == "<llm-code>\na = 8 + 4\nb = a / 3\nc = b - 1\nc\n</llm-code>"
    assert write_solution(HAND, "python", "text", is_compact=True) == (
        "def solution():\n    a = (8 + 4) / 3 - 1\n    return a"
    )
    assert write_solution(HAND, "prose") == (
        "first 8 + 4 = 12 so there are 12 . then 12 / 3 = 4 so there are 4 . then 4 - 1 = 3 so there are 3 . "
        "the answer is 3 ."
    )
    assert write_solution(HAND, "prose", "text", is_compact=True) == (
        "First ( 8 + 4 ) / 3 - 1 = 3 so there are 3. The answer is 3.".replace("( ", "(").replace(" )", ")")
    )


@given(SIZES, st.integers(0, 10**6), st.sampled_from(FORMATS), st.sampled_from(["words", "text"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_right_solution_is_read_as_right_and_a_mistaken_one_as_wrong_in_every_format(
    sizes, seed, form, layout, is_compact
):
    problem = problem_of(sizes, seed)
    assert all(1 <= value <= sizes[1] for value in problem.values)
    assert Problem.from_json(problem.to_json()) == problem
    right = read(write_solution(problem, form, layout, is_compact))
    assert right.form == form
    assert right.value == problem.values[-1]
    assert right.values == (problem.values[-1:] if is_compact else problem.values)
    wrong = read(write_mistaken_solution(problem, form, random.Random(seed), layout, is_compact))
    assert wrong.form == form
    assert wrong.value is not None and wrong.value != problem.values[-1]


@given(SIZES, st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_a_mistake_is_one_operator_or_one_operand(sizes, seed):
    problem = problem_of(sizes, seed)
    changed = mistaken_steps(problem, random.Random(seed))
    pairs = zip(problem.steps, changed, strict=True)
    different = [(a, b) for a, b in pairs if (a.operator, a.operand) != (b.operator, b.operand)]
    ((before, after),) = different
    assert (before.operator == after.operator) != (before.operand == after.operand)


def test_the_formats_are_those_of_the_monitor():
    theirs = {"python": "python", "tool call": "tagged", "prose": "prose", "empty": "empty"}
    taxonomy, rng = RuleTaxonomy(), random.Random(0)
    for layout, number in itertools.product(("words", "text"), range(60)):
        problem = problem_of((1 + number % 4, 20, "+-*/"), number)
        for form, is_compact in itertools.product(FORMATS, (False, True)):
            for text in (
                write_solution(problem, form, layout, is_compact),
                write_mistaken_solution(problem, form, rng, layout, is_compact),
            ):
                assert theirs[taxonomy(text)] == form_of(text) == form
    assert form_of(" \n") == theirs[taxonomy(" \n")] == "empty"
    assert form_of("7 + 7") == "other"


def test_a_format_does_not_depend_on_what_can_be_read():
    assert form_of("def solution(: broken") == "python"
    assert form_of("<llm-code> a = ") == "tagged"
    assert form_of("we define it and know nothing") == "prose"  # the published classifier calls this code
