from __future__ import annotations

import math
import random

import numpy as np
import pytest

from search import Budget, Evolution, Sampling, ScriptedSampler, run_search
from search.problems import FunctionProblem, ProgramEvaluator
from search.records import Candidate, Evaluation
from vpo.answers import AnswerFormat
from vpo.sandbox import Limits


def problem(evaluate, **options) -> FunctionProblem:
    return FunctionProblem(evaluate, prompt="Write a word.", **options)


def test_a_number_is_a_vector_of_one():
    found = problem(len)
    assert found.components == ("score",) and found.w_star == (1.0,)
    assert [each.vector for each in found.evaluate(["ab", "c"])] == [(2.0,), (1.0,)]
    assert found.scalar((2.0,)) == 2.0


def test_a_dict_is_put_in_the_order_of_w_star():
    found = problem(
        lambda text: {"vowels": text.count("a"), "length": len(text)}, w_star={"length": 0.25, "vowels": 0.75}
    )
    assert found.components == ("length", "vowels")
    assert found.evaluate(["aab"])[0].vector == (3.0, 2.0)
    assert found.scalar((3.0, 2.0)) == 0.25 * 3 + 0.75 * 2


@pytest.mark.parametrize("vector", [[1, 2], (1.0, 2.0), np.array([1, 2])])
def test_sequences_of_any_kind_are_vectors(vector):
    found = problem(lambda text: vector, components=["a", "b"])
    assert found.evaluate(["x"])[0].vector == (1.0, 2.0) and found.w_star == (0.5, 0.5)


def test_an_exception_is_an_error_with_its_traceback_and_the_others_are_scored():
    def evaluate(text):
        if text == "bad":
            raise RuntimeError("no such word")
        return 1.0

    bad, good = problem(evaluate, floor=-5.0).evaluate(["bad", "good"])
    assert (bad.status, bad.vector) == ("error", (-5.0,))
    assert "RuntimeError: no such word" in bad.artifact and "in evaluate" in bad.artifact
    assert "search/problems" not in bad.artifact.replace("tests/search/problems", "")
    assert (good.status, good.vector) == ("ok", (1.0,))


def test_an_interrupt_is_no_candidates_fault():
    def evaluate(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        problem(evaluate).evaluate(["x"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_invalid(value):
    (found,) = problem(lambda text: (1.0, value), w_star=(1, 1), floor=(-1.0, -2.0)).evaluate(["x"])
    assert (found.status, found.vector) == ("invalid", (-1.0, -2.0)) and "component_2" in found.artifact


def test_an_evaluation_is_passed_on():
    given = Evaluation(vector=(0.5,), status="ok", artifact="one test failed")
    assert problem(lambda text: given).evaluate(["x"]) == [given]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1.0,), "gave 1 numbers: expected 2"),
        ({"a": 1.0}, "components a: expected a, b"),
        ("0.5", "expected a number"),
        (None, "expected a number"),
        ((1.0, None), "expected a number"),
    ],
)
def test_what_is_no_score_ends_the_search_instead_of_being_a_zero(value, message):
    with pytest.raises(ValueError, match=message):
        problem(lambda text: value, components=("a", "b")).evaluate(["x"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": "ab"}, "expected a list of names"),
        ({"components": ["a", "a"]}, "distinct names"),
        ({"components": ["a"], "w_star": {"b": 1.0}}, "expected the same"),
        ({"w_star": [0.0, 0.0]}, "not all 0"),
        ({"w_star": [math.nan]}, "finite weights"),
        ({"floor": math.nan}, "floor is nan"),
        ({"floor": [0.0, 0.0]}, "floor is"),
    ],
)
def test_a_wrong_argument_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        problem(len, **options)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ValueError, match="expected a function"):
        problem(3.0)


def test_prompts_ask_for_answers_once_and_parse_may_be_ones_own():
    two = AnswerFormat(num_answers=2)
    plain = problem(len, answer_format=two)
    assert plain.prompt == two.ask("Write a word.")
    assert FunctionProblem(len, prompt=plain.prompt, answer_format=two).prompt == plain.prompt
    assert plain.parse("<answer_1>a</answer_1><answer_2>b</answer_2>") == ["a", "b"]
    assert problem(len, parse=lambda text: text.split(";")).parse("a;b") == ["a", "b"]
    assert problem(len).id == problem(max).id != problem(len, answer_format=two).id


def test_a_search_on_ones_own_function_climbs_and_shows_the_parent():
    found = problem(lambda text: {"zeros": text.count("0"), "short": -len(text)}, w_star={"zeros": 1.0, "short": 0.01})
    prompts = []

    def script(prompt, prefix, seed):
        prompts.append(prompt)
        rng = random.Random(seed)
        best = max((line for line in prompt.split("\n") if set(line) <= set("01") and line), key=len, default="")
        return best + rng.choice("01")

    (result,) = run_search(
        [found],
        lambda each: Evolution(each.vary),
        ScriptedSampler(script),
        Budget(max_answers=60),
        sampling=Sampling(max_new_tokens=64),
    )
    assert result.best[-1] > 3
    assert any("Scores: zeros = 1.0, short = -1.0" in prompt for prompt in prompts)


def test_code_goes_through_the_sandbox_and_is_scored_outside(box):
    def score(value, low, high):
        if not isinstance(value, int):
            raise ValueError(f"{value!r} is no whole number")
        return value / high

    evaluate = ProgramEvaluator("pick", score, cases=[(0, 10), (0, 100)], components=["ten", "hundred"], sandbox=box)
    found = problem(evaluate, components=evaluate.components)
    good, half, bad = found.evaluate(
        [
            "def pick(low, high): return high // 2",
            "```python\ndef pick(low, high): return 1 if high == 10 else 'x'\n```",
            "import os\ndef pick(low, high): os._exit(0)",
        ]
    )
    assert good == Evaluation(vector=(0.5, 0.5))
    assert (half.status, half.vector) == (
        "ok",
        (0.1, 0.0),
    ) and "hundred: invalid: 'x' is no whole number" in half.artifact
    assert (bad.status, bad.vector) == ("error", (0.0, 0.0))
    assert evaluate("def pick(low, high): return high") == Evaluation(vector=(1.0, 1.0))


def test_a_case_may_earn_several_components_and_a_crash_of_the_score_is_the_candidates(box):
    evaluate = ProgramEvaluator(
        "f", lambda value: {"a": value["a"], "b": 2 * value["a"]}, components=["b", "a"], sandbox=box
    )
    good, bad, infinite = evaluate.batch(
        ["def f(): return {'a': 3}", "def f(): return []", "def f(): return {'a': 10.0 ** 308}"]
    )
    assert good.vector == (6.0, 3.0)
    assert (bad.status, bad.vector) == ("invalid", (0.0, 0.0))
    assert infinite.status == "invalid" and "not finite" in infinite.artifact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": []}, "cases is empty"),
        ({"cases": [[1], [2]], "components": ["a"]}, "1 components and 2 cases"),
        ({"cases": ["ab"]}, "expected the list of f's arguments"),
        ({"entry": "not a name"}, "expected a function's name"),
    ],
)
def test_a_wrong_program_evaluator_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ProgramEvaluator(**{"entry": "f", "score": float, **options})


def test_limits_are_those_that_were_given(box):
    evaluate = ProgramEvaluator("f", float, limits=Limits(seconds=0.5), sandbox=box)
    assert evaluate("import time\ndef f():\n    time.sleep(30)\n    return 1").status == "timeout"


def test_a_candidates_status_and_report_reach_the_next_prompt():
    found = problem(len)
    parent = Candidate(
        id=0, answer="x", vector=(0.0,), scalar=0.0, parents=(), generation_id=0, status="timeout", artifact="6 s"
    )
    text = found.vary(parent, (), random.Random(0)).prompt
    assert "it took too long" in text and "6 s" in text
