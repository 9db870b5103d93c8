"""What holds for every packaged problem: its seed works, its prompt asks in the trained form, and no trick pays."""

from __future__ import annotations

import random

import pytest

from search.problems import get_problems
from search.problems.open_problem import OpenProblem
from search.records import Candidate
from tests.search.problems.hostile_programs import HOSTILE, hostile

# name -> (small options, function that candidates define)
PROBLEMS = {
    "circle_packing": ({}, "pack"),
    "heilbronn_triangle": ({}, "points"),
    "heilbronn_convex": ({}, "points"),
    "minimum_overlap": ({"sizes": (26,)}, "step_heights"),
    "autocorrelation": ({"sizes": (26,)}, "step_heights"),
    "cap_set": ({"dimensions": (3,)}, "priority"),
    "bin_packing_or3": ({}, "priority"),
    "bin_packing_weibull_5k": ({}, "priority"),
}


@pytest.fixture(params=PROBLEMS)
def name(request) -> str:
    return request.param


def problem(name: str, box, **options) -> OpenProblem:
    (found,) = get_problems(name, **PROBLEMS[name][0], sandbox=box, **options)
    assert isinstance(found, OpenProblem)
    return found


def test_the_seed_program_works_and_is_below_the_best_known(name, box):
    found = problem(name, box)
    (evaluation,) = found.evaluate([found.seed_program])
    assert evaluation.status == "ok" and not evaluation.artifact
    assert len(evaluation.vector) == len(found.components) == len(found.w_star)
    assert found.floor == (0.0,) * len(found.components)
    assert 0 < found.scalar(evaluation.vector) < found.best_known.scalar
    assert found.best_known.source


def test_no_trick_pays(name, box, short):
    found = problem(name, box, limits=short)
    tricks = [trick for trick in HOSTILE if trick != "endless"]
    evaluations = found.evaluate([hostile(trick, PROBLEMS[name][1]) for trick in tricks])
    earned = {t: e.vector for t, e in zip(tricks, evaluations, strict=True) if e.vector != found.floor}
    assert earned == {}
    assert {e.status for e in evaluations} <= {"invalid", "error", "timeout", "oom"}
    assert [t for t, e in zip(tricks, evaluations, strict=True) if not e.artifact] == []


@pytest.mark.parametrize("name", ["circle_packing", "cap_set"])
def test_a_program_that_never_ends_is_stopped(name, box, short):
    found = problem(name, box, limits=short)
    (evaluation,) = found.evaluate([hostile("endless", PROBLEMS[name][1])])
    assert (evaluation.status, evaluation.vector) == ("timeout", found.floor)


def test_text_that_is_no_program_earns_the_floor(name, box):
    found = problem(name, box)
    texts = ["", "I do not know.", f"def {PROBLEMS[name][1]}(:", "x = 1", "```python\n```", '"""']
    evaluations = found.evaluate(texts)
    assert {(each.vector, each.status) for each in evaluations} == {(found.floor, "error")}


def test_good_and_bad_programs_of_a_batch_keep_their_places(box):
    found = problem("heilbronn_triangle", box)
    good, bad, again = found.evaluate([found.seed_program, "x = 1", found.seed_program])
    assert good == again and good.status == "ok" and bad.status == "error"


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("num_answers", [1, 3])
def test_the_prompt_asks_in_the_form_of_training_and_answers_are_read_back(name, chat, num_answers, box):
    found = problem(name, box, chat=chat, num_answers=num_answers)
    text = found.prompt[-1]["content"] if chat else found.prompt
    assert isinstance(found.prompt, list) == chat
    assert found.seed_program in text and PROBLEMS[name][1] in text
    instruction = found.answer_format.instruction()
    assert text.endswith(instruction)
    assert found.num_answers == num_answers
    block = f"Here it is.\n```python\n{found.seed_program}```"
    completion = found.answer_format.render([block] * num_answers)
    assert found.parse(completion) == [found.seed_program.strip()] * num_answers


def test_a_variation_shows_the_program_and_keeps_the_form(name, box):
    found = problem(name, box, num_answers=2)
    vector = tuple(1 / 3 for _ in found.components)
    parent = Candidate(
        id=7, answer="def f(): pass", vector=vector, scalar=0.0, parents=(), generation_id=0, artifact="it was slow"
    )
    text = found.vary(parent, (), random.Random(0)).prompt[-1]["content"]
    assert f"{found.components[0]} = {1 / 3!r}" in text and "```python\ndef f(): pass\n```" in text
    assert "it was slow" in text and text.endswith(found.answer_format.instruction())


def test_ids_tell_options_apart(box):
    ids = [
        get_problems("circle_packing", sandbox=box, **options)[0].id
        for options in ({}, {"sizes": (26, 32)}, {"feasibility": "strict"}, {"sizes": (25,)})
    ]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("circle_packing", {"sizes": ()}, "expected distinct whole numbers from 1 to 200"),
        ("circle_packing", {"sizes": (26, 26)}, "expected distinct"),
        ("circle_packing", {"sizes": (2.5,)}, "expected distinct"),
        ("circle_packing", {"feasibility": "lax"}, "expected 'shrink' or 'strict'"),
        ("circle_packing", {"size": 26}, "has no option \\['size'\\]: expected .*sizes"),
        ("heilbronn_triangle", {"region": "convex"}, "has no option \\['region'\\]"),
        ("cap_set", {"dimensions": (12,)}, "from 1 to 9"),
        ("bin_packing_or3", {"instances": "or4"}, "has no option"),
    ],
)
def test_a_wrong_option_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_problems(name, **options)


def test_only_what_should_generalise_has_held_out_cases(box):
    (packing,) = get_problems("circle_packing", sandbox=box)
    assert not packing.has_held_out
    with pytest.raises(ValueError, match="no held-out cases"):
        packing.evaluate_held_out([packing.seed_program])
    assert get_problems("bin_packing_or3", sandbox=box)[0].has_held_out
