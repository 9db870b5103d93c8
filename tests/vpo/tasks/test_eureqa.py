from __future__ import annotations

import pytest
from datasets import Dataset, concatenate_datasets
from hypothesis import given
from hypothesis import strategies as st

from tests.vpo.tasks.task_rows import eureqa_row, write_rows
from vpo.tasks import get_task

TASK = get_task("eureqa")
NAMES = ["Robert_Rodriguez", "The_Gambia", "St._John's", "Dusk:_The_Series", "32nd_Awards"]
ROW = {"entities": NAMES}


def chain(names):
    return "\n".join(f"<entity_{letter}>{name}</entity_{letter}>" for letter, name in zip("ABCDE", names, strict=True))


@pytest.mark.parametrize(
    ("text", "vector"),
    [
        (chain(NAMES), (1, 1, 1, 1, 1)),
        (chain(["the robert rodriguez!", "gambia", "st johns", "dusk the series", "32ND_AWARDS"]), (1, 1, 1, 1, 1)),
        (chain(["Robert", *NAMES[1:]]), (0, 1, 1, 1, 1)),
        (chain(NAMES[::-1]), (0, 0, 1, 0, 0)),  # right names under wrong letters
        (chain(NAMES).replace("entity_B", "ENTITY_b"), (1, 1, 1, 1, 1)),
        ("<entity_A>Robert_Rodriguez</entity_A>", (1, 0, 0, 0, 0)),
        ("<entity_A>Robert_Rodriguez", (0, 0, 0, 0, 0)),
        ("<entity_A>wrong</entity_A><entity_A>Robert_Rodriguez</entity_A>", (0, 0, 0, 0, 0)),  # the first counts
        (chain([""] * 5), (0, 0, 0, 0, 0)),
        ("Robert_Rodriguez", (0, 0, 0, 0, 0)),
    ],
)
def test_names_match_exactly_after_normalisation(text, vector):
    assert TASK.score(text, ROW) == vector


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)), st.text())
def test_each_name_earns_its_own_component_wherever_it_stands(order, right, text):
    parts = chain([name if i in right else "nobody" for i, name in enumerate(NAMES)]).split("\n")
    assert TASK.score("\n".join(parts[i] for i in order), ROW) == tuple(float(i in right) for i in range(5))
    assert all(value in (0, 1) for value in TASK.score(text, ROW))


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "questions_normal_5.jsonl", [eureqa_row(i) for i in range(4)])
    write_rows(tmp_path / "questions_hard_5.jsonl", [eureqa_row(100 + i) for i in range(7)])
    return tmp_path


def firsts(task, split):
    return [row["entities"][0] for row in task.dataset(split, 99, 3)]


def test_the_mixed_split_is_the_one_that_datasets_shuffle_gives_the_paper(folder):
    task = get_task("eureqa", path=str(folder))
    hard = Dataset.from_list([{"name": f"Robert_Rodriguez_{100 + i}"} for i in range(7)]).shuffle(seed=0)
    normal = Dataset.from_list([{"name": f"Robert_Rodriguez_{i}"} for i in range(4)])
    assert firsts(task, "train") == concatenate_datasets([normal, hard.select(range(3))])["name"][:]
    assert firsts(task, "test") == hard.select(range(3, 7))["name"][:]


def test_the_released_default_trains_on_normal_and_tests_on_hard(folder):
    task = get_task("eureqa", path=str(folder), split_rule="normal_to_hard")
    assert firsts(task, "train") == [f"Robert_Rodriguez_{i}" for i in range(4)]
    assert firsts(task, "test") == [f"Robert_Rodriguez_{100 + i}" for i in range(7)]
    with pytest.raises(ValueError, match="split_rule is 'half'"):
        get_task("eureqa", split_rule="half")


def test_the_named_entity_is_shown_and_not_asked_for_and_references_earn_full_marks(folder):
    task = get_task("eureqa", path=str(folder))
    rows = task.dataset("train", 2, 3)
    assert all(task.score(task.reference(row), row) == (1,) * 5 for row in rows)
    text = rows[0]["prompt"][0]["content"]
    assert "Place F is given: Rome." in text
    assert "<entity_B>Country B</entity_B>" in text
    assert "Robert_Rodriguez_0" not in text


def test_one_file_is_taken_as_it_is(folder):
    task = get_task("eureqa", path=str(folder / "questions_hard_5.jsonl"))
    assert len(task.dataset("train", 99, 3)) == 7
