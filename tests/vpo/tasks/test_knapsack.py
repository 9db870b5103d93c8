"""The knapsack task against hand-computed instances and plain enumeration."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.tasks import get_task
from vpo.tasks.knapsack import Knapsack, KnapsackTask
from vpo.tasks.tiny_policy import tiny_policy, warm_start_rows

HAND = Knapsack(weights=(2, 3, 1, 4), values=((5, 0), (1, 8), (4, 1), (0, 9)), capacity=5)
TASK = KnapsackTask(num_items=4, num_currencies=2)


def score(answer: str) -> tuple[float, ...]:
    return TASK.score(answer, TASK.row(HAND, 1))


def test_an_answer_earns_its_share_of_the_most_that_fits_in_each_currency():
    # What fits: a, b, c, d, ab, ac, bc, cd. Most of the first currency: ac, 9. Most of the second: cd, 10.
    assert score("a c") == (9 / 9, 1 / 10)
    assert score("c d") == (4 / 9, 10 / 10)
    assert score("a b") == (6 / 9, 8 / 10)
    assert score("b") == (1 / 9, 8 / 10)


@pytest.mark.parametrize("answer", ["a d", "a b c", "", "c a", "a a", "e", "a c now", "1"])
def test_too_heavy_unordered_repeated_and_unknown_items_earn_nothing(answer):
    assert score(answer) == (0.0, 0.0)


def test_the_front_is_that_of_all_choices():
    for example in [HAND, *itertools.islice(KnapsackTask(num_items=6).examples("train"), 10)]:
        count = len(example.weights)
        task = KnapsackTask(num_items=count, num_currencies=len(example.values[0]))
        row = task.row(example, 1)
        answers = [" ".join(c) for r in range(1, count + 1) for c in itertools.combinations("abcdef"[:count], r)]
        vectors = {v for v in (task.score(answer, row) for answer in answers) if any(v)}
        front = {
            v for v in vectors if not any(u != v and all(a >= b for a, b in zip(u, v, strict=True)) for u in vectors)
        }
        assert set(task.front(example)) == front


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(4, 10))
def test_a_teachers_answers_are_valid_and_fill_the_knapsack(seed, num_answers, num_items):
    task = KnapsackTask(num_items=num_items, seed=seed)
    example = next(task.examples("train"))
    completion = task.teacher_completion(example, num_answers, random.Random(seed))
    answers = task.answer_format(num_answers).parse(completion).answers
    assert len(answers) == num_answers
    for answer in answers:
        assert any(task.score(answer, task.row(example, 1)))
        taken = ["abcdefghij".index(word) for word in answer.split()]
        left = example.capacity - sum(example.weights[i] for i in taken)
        assert all(example.weights[i] > left for i in range(num_items) if i not in taken)
    known = set(task.vocabulary(num_answers))
    assert set(completion.split()) | set(task.prompt(example, num_answers).split()) <= known
    assert len(task.prompt(example, num_answers).split()) == task.prompt_tokens
    assert len(completion.split()) < task.completion_tokens(num_answers)


def test_no_instance_is_in_both_splits_and_rows_bring_it_back():
    task = get_task("knapsack")
    train, test = ([e.key() for e in itertools.islice(task.examples(split), 200)] for split in ("train", "test"))
    assert not set(train) & set(test)
    row = task.dataset("train", 1, 3)[0]
    assert task.prompt(Knapsack.from_json(row["knapsack"]), 3) == row["prompt"]


def test_the_reward_function_scores_as_the_task_does():
    (reward,) = TASK.reward_funcs
    row = TASK.row(HAND, 1)
    got = reward(prompts=[row["prompt"]] * 2, completions=["a c", "d a"], knapsack=[row["knapsack"]] * 2)
    assert got == [score("a c"), score("d a")]
    assert reward.components == TASK.components == ("currency_1", "currency_2")


def test_a_label_names_what_was_chosen_and_not_whether_it_fits():
    row = TASK.row(HAND, 1)
    assert TASK.label("a c", row) == "currency_1"
    assert TASK.label("b d", row) == "currency_2"  # too heavy
    assert TASK.label("nothing", row) == "other"


def test_a_tiny_policy_can_be_made_for_it():
    task = get_task("knapsack")
    _, tokenizer = tiny_policy(task, 3, 0)
    rows = warm_start_rows(task, 8, 4, 3, 0)
    for row in rows:
        assert tokenizer.unk_token_id not in tokenizer(row["prompt"] + row["completion"])["input_ids"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_items": 3}, "num_items is 3: expected 4 to 12"), ({"num_currencies": 1}, "expected 2 to 8")],
)
def test_sizes_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        get_task("knapsack", **options)
