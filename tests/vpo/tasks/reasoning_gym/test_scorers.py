"""What scorers of reasoning-gym may see of an answer."""

from __future__ import annotations

import pytest

from tests.vpo.tasks.reasoning_gym.generators import (
    rows,
)
from vpo.tasks.reasoning_gym.generators import make_generator
from vpo.tasks.reasoning_gym.screening import SCREENED, check_screened, is_formula, is_literal, is_sum, may_be_scored

HARM = [
    "__import__('os').system('touch {path}')",
    "open('{path}', 'w')",
    "[open('{path}', 'w')]",
    "().__class__.__bases__[0].__subclasses__()",
    "exec(\"open('{path}', 'w')\")",
    "(lambda: open('{path}', 'w'))()",
    'f\'{{open("{path}", "w")}}\'',
    "[x for x in [open('{path}', 'w')]]",
    "S('open(1)')",
    "ｏｐｅｎ('{path}', 'w')",
]


@pytest.mark.parametrize("name", SCREENED)
def test_no_answer_is_run_by_a_scorer(name, tmp_path):
    task, (row,) = rows(name, 1)
    mark = tmp_path / "mark"
    for harm in HARM:
        answer = harm.format(path=mark)
        assert not may_be_scored(name, answer)
        assert task.score(f"<answer>{answer}</answer>", row)[0] < 1.0
        assert not mark.exists()


def test_the_scorers_would_run_them_if_they_saw_them(tmp_path):
    # The reason for the screen: if this fails, reasoning-gym has mended it, and the screen can go.
    mark = tmp_path / "mark"
    generator = make_generator("string_insertion", {}, 0, 1)
    generator.score_answer(f"open('{mark}', 'w').close()", generator[0])
    assert mark.exists()


@pytest.mark.parametrize(
    "bomb", ["9**9**9**9", "(9**24)**24**24", "exp(exp(9.0))", "((x+1)**24+x)**24", "factorial(99999)", "99999!",
             "sin(sin(sin(x)))", "x**-99", "'a'*10**9", "[0]*10**9", "1 if x else 2", "x.y", "x[0]", "x@y", "~1", "1j"],
)  # fmt: skip
def test_formulas_that_would_never_end_are_not_begun(bomb):
    assert not is_sum(bomb) and not is_formula(bomb)


def test_formulas_that_are_asked_for_pass():
    for answer in ("49*(85 - 1)/14 - 42 - 73", "27*(-2 + (5 - 55 + 62)/2)", "4/1 + 10"):
        assert is_sum(answer)
    for answer in (
        "-9*x**8/10 + 3*x**4/2 + C", "2*(-10*x - 10)**(3/2)/3 + C", "3*x*atan(x) - 3*log(x**2 + 1)/2 + C",
        "exp(x)*sin(x) + C", "-cos(3*x - 10)**3/3 + C", "120384*z**7 + 64448*z**6", "sqrt(1 - 9*x**2)/3 + Abs(x)",
    ):  # fmt: skip
        assert is_formula(answer)
    for answer in ("ABC", "Q _ _\n_ Q _", "1 2 3", "[[1, 2], [3, 4]]", "['A', 'B']", ""):
        assert is_literal(answer)


@pytest.mark.parametrize("name", ["simple_integration", "intermediate_integration", "polynomial_multiplication"])
def test_a_right_formula_in_another_form_is_right(name):
    task, found = rows(name, 6)
    right = [
        task.score(f"<answer>0 + ({row['answer']})</answer>", row)[0]
        for row in found
        if "Integral" not in row["answer"]
    ]
    assert len(right) >= 2 and set(right) == {1.0}


def test_a_generator_that_evaluates_text_and_is_not_known_is_refused(tmp_path, monkeypatch):
    (tmp_path / "careless.py").write_text(
        "class Careless:\n    def score_answer(self, a, e):\n        return eval(a)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import careless

    with pytest.raises(ValueError, match="reasoning-gym's careless evaluates text in this version"):
        check_screened("careless", careless.Careless())
