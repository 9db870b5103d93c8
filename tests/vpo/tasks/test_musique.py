from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vpo.tasks.task_rows import musique_row, write_rows
from vpo.answers import AnswerFormat
from vpo.tasks import get_task

ROW = {"answer": "The Lyon Opera", "answer_aliases": ["Opéra Nouvel"], "support": [2, 5]}  # a question of two hops
FOUR = {**ROW, "support": [2, 5, 1, 7]}
TASK = get_task("musique")


def answer(support: str, text: str) -> str:
    return f"Because.\n<support>{support}</support>\n<answer>{text}</answer>"


@pytest.mark.parametrize(
    ("text", "row", "vector"),
    [
        (answer("2, 5", "Lyon Opera"), ROW, (1, 1, 1, 1, 1)),  # hops 3 and 4 do not exist: they count 1
        (answer("5", "Lyon"), ROW, (0, 1, 1, 1, 2 / 3)),  # 1 word of 1 found and 2 wanted
        (answer("", "nowhere"), ROW, (0, 0, 1, 1, 0)),
        (answer("2,5,1,7", "opéra nouvel"), FOUR, (1, 1, 1, 1, 1)),  # the alias is as good
        (answer("0, 3, 4, 6, 2, 5, 1, 7", "Lyon Opera"), FOUR, (0, 0, 0, 0, 1)),  # the first four citations count
        (answer("2, 2, 2, 2, 5, 1, 7", "Lyon Opera"), FOUR, (1, 1, 1, 1, 1)),  # the first four different ones
        (answer("2 5", "Lyon Opera"), ROW, (0, 0, 1, 1, 1)),  # no list
        (answer("two, [2], 5., ²", "Lyon Opera"), ROW, (0, 0, 1, 1, 1)),
        ("<support>2, 5</support>", ROW, (0, 0, 0, 0, 0)),  # no answer, no marks
        ("<support>2, 5</support><answer> </answer>", ROW, (0, 0, 0, 0, 0)),
        ("<answer>Lyon Opera</answer>", ROW, (0, 0, 1, 1, 1)),
        ("Lyon Opera", ROW, (0, 0, 0, 0, 0)),
        ("", ROW, (0, 0, 0, 0, 0)),
    ],
)
def test_answers_earn_what_the_rules_say(text, row, vector):
    assert TASK.score(text, row) == pytest.approx(vector)


def test_the_weights_of_deployment_count_the_answer_three_times():
    assert TASK.w_star == pytest.approx((1 / 7, 1 / 7, 1 / 7, 1 / 7, 3 / 7))
    assert sum(TASK.w_star) == pytest.approx(1)


def test_the_two_readings_of_normalisation_are_options():
    row = {**ROW, "answer": "U.S.A.", "answer_aliases": []}
    assert TASK.score(answer("2", "usa"), row)[-1] == 1
    assert get_task("musique", normalization="released").score(answer("2", "usa"), row)[-1] == 0
    with pytest.raises(ValueError, match="normalization is 'other'"):
        get_task("musique", normalization="other")


@given(st.permutations([2, 5, 1, 7]), st.text())
def test_the_order_of_citations_does_not_matter_and_no_text_leaves_the_range(order, text):
    scored = TASK.score(answer(", ".join(map(str, order)), text), FOUR)
    assert scored == TASK.score(answer("2, 5, 1, 7", text), FOUR)
    assert all(0 <= value <= 1 for value in scored)
    assert all(0 <= value <= 1 for value in TASK.score(text, FOUR))


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.jsonl", [musique_row(hops, i) for i, hops in enumerate((2, 3, 4, 2))])
    write_rows(
        tmp_path / "validation.jsonl", [musique_row(hops, i) for i, hops in enumerate((2,) * 6 + (3,) * 3 + (4,) * 3)]
    )
    return tmp_path


def test_rows_carry_what_the_scorer_needs_and_references_earn_full_marks(folder):
    task = get_task("musique", path=str(folder))
    rows = task.dataset("train", 99, num_answers=3)
    assert len(rows) == 4
    assert [row["support"] for row in rows] == [[2, 5], [2, 5, 1], [2, 5, 1, 7], [2, 5]]
    assert all(task.score(task.reference(row), row) == (1,) * 5 for row in rows)
    (message,) = rows[0]["prompt"]
    assert "[3] Title 3\nParagraph 3 of 0." in message["content"]
    assert "Question: Where did question 0 happen?" in message["content"]


def test_the_prompt_asks_for_reasoning_first_and_the_trainer_for_the_tagged_answers(folder):
    task = get_task("musique", path=str(folder))
    prompt = task.dataset("train", 1, num_answers=3)[0]["prompt"]
    assert "First reason" in prompt[-1]["content"]
    asked = AnswerFormat(3, tag=task.tag).ask(prompt)[-1]["content"]
    assert asked.startswith(prompt[-1]["content"])
    assert "<response_3>" in asked


def test_test_rows_are_balanced_over_hops_as_in_the_paper_or_the_first_as_released(folder):
    def hops(**options):
        return [len(row["support"]) for row in get_task("musique", path=str(folder), **options).dataset("test", 9, 3)]

    assert sorted(hops()) == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert hops(test_rows="first") == [2, 2, 2, 2, 2, 2, 3, 3, 3]
    with pytest.raises(ValueError, match="test_rows is 'all'"):
        get_task("musique", test_rows="all")


def test_too_many_steps_are_refused(tmp_path):
    row = musique_row(4)
    row["question_decomposition"].append({**row["question_decomposition"][0]})
    write_rows(tmp_path / "train.jsonl", [row])
    with pytest.raises(ValueError, match="row 1, column 'question_decomposition' has 5 steps: expected at most 4"):
        get_task("musique", path=str(tmp_path)).dataset("train", 1, 3)
