"""The bridge to reasoning-gym: every generator, and rewards by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.vpo.tasks.reasoning_gym.generators import (
    GARBAGE,
    GENERATORS,
    WITHOUT_REFERENCE,
    rows,
)
from vpo.tasks import get_task
from vpo.tasks.check import check_task
from vpo.tasks.reasoning_gym.entries import pack, unpack


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_gives_its_reference_the_most_and_survives_garbage(name):
    task, found = rows(name, 2)
    for row in found:
        reference = task.reference(row)
        assert (reference is None) == (name in WITHOUT_REFERENCE)
        if reference is not None:
            assert all(value in (1.0, None) for value in task.score(reference, row))
        for answer in GARBAGE:
            vector = task.score(answer, row)
            assert len(vector) == 6
            assert all(value is None or 0.0 <= value <= 1.0 for value in vector)
            assert vector[0] < 1.0 or row["answer"] in ("0", "null")
    assert "attempt" in dir(task) and task.score(task.attempt(found[0], random.Random(0)), found[0])


def test_the_parts_form_and_brevity_of_an_answer_by_hand():
    task = get_task("reasoning_gym:number_sorting", working_chars=100)
    entry = {"question": "q", "answer": "['1', '2', '3']", "metadata": {"direction": "ascending"}}
    row = {"answer": "1 2 3 4 5 6", "entry": pack({**entry, "answer": "1 2 3 4 5 6"})}
    # Thirds of the reference: 1 2 | 3 4 | 5 6; each has three pairs with its two ends. The scorer wants a list: 0.
    assert task.score("<answer>1 2 4 3 5 9</answer>", row) == (0.0, 1.0, 0.0, pytest.approx(1 / 3), 1.0, 0.0)
    assert task.score("<answer>1 2</answer>", row)[1:4] == (0.0, pytest.approx(2 * 1 / (2 + 3) * 0), 0.0)
    good = {"answer": entry["answer"], "entry": pack(entry)}
    assert task.score("<answer>['1', '2', '3']</answer>", good) == (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert task.score("x" * 25 + "<answer>['1', '2', '3']</answer>", good) == (1.0, 1.0, 1.0, 1.0, 1.0, 0.75)
    assert task.score("<answer>['1', '2', '3']</answer>" + "x" * 25, good) == (1.0, 1.0, 1.0, 1.0, 0.0, 0.75)
    assert task.score("<answer>1</answer><answer>['1', '2', '3']</answer>", good)[0] == 1.0  # the last pair is read
    assert task.score("x" * 200 + "<answer>['1', '2', '3']</answer>", good)[-1] == 0.0
    for empty in ("['1', '2', '3']", "", "<answer>", "<answer> </answer>"):
        assert task.score(empty, good) == (0.0,) * 6


def test_partial_credit_of_reasoning_gym_is_kept_and_a_wrong_answer_never_beats_a_right_one():
    task, (row,) = rows("countdown", 1)
    numbers = unpack(row["entry"])["metadata"]["numbers"]
    wrong = task.score("<answer>" + "+".join(map(str, numbers)) + "</answer>", row)
    assert wrong[0] == 0.05  # their word for the right numbers and the wrong sum
    worst_right = np.dot(task.w_star, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    best_wrong = np.dot(task.w_star, [0.05, 1.0, 1.0, 1.0, 1.0, 0.05])
    assert best_wrong < worst_right == pytest.approx(0.9)


def test_parts_do_not_apply_to_a_single_word_and_can_be_left_out():
    task, (row,) = rows("gcd", 1)
    assert task.score("<answer>no</answer>", row)[1:4] == (None, None, None)
    assert task.score(task.reference(row), row) == (1.0, None, None, None, 1.0, 1.0)
    bare = get_task("reasoning_gym:gcd", parts=0)
    assert bare.components == ("score", "form", "brief")
    assert bare.w_star == (0.9, 0.05, 0.05)
    assert bare.score(bare.reference(row), row) == (1.0, 1.0, 1.0)
    for parts in (0, 1, 3, 16):
        assert sum(get_task("reasoning_gym:gcd", parts=parts).w_star) == pytest.approx(1)


def test_a_task_is_found_by_its_generators_name_checked_and_given_to_a_trainer():
    task = get_task("reasoning_gym:word_sorting", config={"min_words": 3, "max_words": 4})
    assert task.name == "reasoning_gym:word_sorting"
    found = task.dataset("train", 4, 3)
    assert set(found.column_names) == {"prompt", "answer", "entry"}
    assert "<answer>final answer</answer>" in found[0]["prompt"][0]["content"]
    assert len(unpack(found[0]["entry"])["metadata"]["original_words"]) in (3, 4)
    report = check_task(task, list(found))
    assert report.failures == [] and report.num_references == (4, 4)
    (reward,) = task.reward_funcs
    assert reward.__name__ == "reasoning_gym_word_sorting_reward"
    assert reward.components == task.components


def test_rows_without_a_reference_have_a_column_for_it_nevertheless():
    found = get_task("reasoning_gym:rush_hour").dataset("train", 2, 1)
    assert list(found["answer"]) == [None, None]
    assert found.features["answer"].dtype == "string"
