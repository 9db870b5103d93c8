"""What counts as a reward: every kind of number and vector, and each refusal with its place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vpo.reward_values import RewardError, check_rewards

PLACES = [(0, 1), (0, 2), (2, 1)]  # (completion, answer) of three answers


def check(output, components=None):
    return check_rewards(output, PLACES, "func", components)


@pytest.mark.parametrize(
    "output",
    [
        [1, 0, True],
        (1.0, 0.0, 1.0),
        np.array([1, 0, 1]),
        torch.tensor([1.0, 0.0, 1.0], dtype=torch.bfloat16),
        torch.tensor([1.0, 0.0, 1.0], requires_grad=True),
        [np.float32(1), np.bool_(False), torch.tensor(1)],
        (value for value in (1, 0, 1)),
    ],
    ids=["bool", "tuple", "array", "bfloat16", "with gradient", "scalars", "generator"],
)
def test_any_kind_of_number_is_a_reward(output):
    vectors, components = check(output)
    assert vectors == [[1.0], [0.0], [1.0]]
    assert all(type(value) is float for vector in vectors for value in vector)
    assert components == ("func",)


@pytest.mark.parametrize(
    "output",
    [
        [[1, 0], (0, 1), np.array([1, 1])],
        np.array([[1, 0], [0, 1], [1, 1]]),
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        [torch.tensor([1, 0]), [np.float64(0), True], [torch.tensor(1.0), 1]],
    ],
    ids=["sequences", "array", "tensor", "mixed"],
)
def test_any_kind_of_vector_is_a_vector_reward(output):
    assert check(output) == ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], ("func[0]", "func[1]"))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_finite_numbers_come_back_unchanged(values):
    assert check_rewards(values, [(row, 1) for row in range(len(values))], "f", None)[0] == [[v] for v in values]


def test_a_dict_names_its_components_whatever_their_order():
    expected = ([[1, 2], [3, 4], [5, 6]], ("a", "b"))
    rewards = [{"a": 1, "b": 2}, {"b": 4, "a": 3}, {"a": 5, "b": 6}]
    assert check(rewards) == check(rewards, ("a", "b")) == expected


def test_known_names_are_kept():
    assert check([[1, 2]] * 3, ("gold", "lava")) == ([[1.0, 2.0]] * 3, ("gold", "lava"))
    assert check([1] * 3, ("gold",)) == ([[1.0]] * 3, ("gold",))


@pytest.mark.parametrize("components", [None, ("gold", "lava")])
def test_no_answer_teaches_nothing(components):
    assert check_rewards([], [], "func", components) == ([], components)


@pytest.mark.parametrize(
    ("values", "place", "shown"),
    [
        ([0.0, math.nan, 1.0], "answer 2 of completion 0", "nan"),
        ([math.inf, 1.0, 0.0], "answer 1 of completion 0", "inf"),
        ([0.0, -math.inf, 1.0], "answer 2 of completion 0", "-inf"),
        ([0.0, 1e39, 1.0], "answer 2 of completion 0", r"1e\+39"),
        ([0.0, 10**400, 1.0], "answer 2 of completion 0", "1000"),
        ([0.0, "good", 1.0], "answer 2 of completion 0", "'good'"),
        ([0.0, 1j, 1.0], "answer 2 of completion 0", "1j"),
        ([[0, 1], [0, math.nan], [1, 1]], "answer 2 of completion 0", r"\[0, nan\]"),
        ([[[0]], [[0]], [[0]]], "answer 1 of completion 0", r"\[\[0\]\]"),
        (torch.tensor([0.0, 1.0, math.nan]), "answer 1 of completion 2", "nan"),
    ],
)
def test_what_is_no_finite_number_is_refused_with_its_place(values, place, shown):
    message = rf"'func' returned {shown}.* for {place} of the batch: expected a finite number"
    with pytest.raises(RewardError, match=message):
        check(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [1], [1, 2]], r"\[1\] for answer 2 of completion 0.*expected the components func\[0\], func\[1\]\."),
        ([1, [1, 2], 1], r"returned \[1, 2\] for answer 2 .*expected the components func\."),
        ([{"a": 1}, {"b": 1}, {"a": 1}], r"returned \{'b': 1\} for answer 2 .*expected the components a\."),
        ([{"a": 1}, {"a": 1, "b": 1}, {"a": 1}], r"for answer 2 .*expected the components a\."),
        ([[], [], []], r"returned \[\] for answer 1 .*expected at least one component"),
    ],
)
def test_answers_with_other_components_are_refused(values, message):
    with pytest.raises(RewardError, match=message):
        check(values)


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 4, np.ones((1, 3))])
def test_another_number_of_rewards_is_refused(values):
    with pytest.raises(RewardError, match=f"'func' returned {len(values)} rewards: expected 3, one an answer"):
        check(values)


@pytest.mark.parametrize("values", [None, 1.0, "abc", {"a": [1, 2, 3]}, torch.tensor(1.0)])
def test_what_is_no_list_of_rewards_is_refused(values):
    with pytest.raises(RewardError, match="expected a list with one reward for each of the 3 answers"):
        check(values)


def test_long_values_are_cut_in_messages():
    with pytest.raises(RewardError) as caught:
        check(["x" * 10_000] * 3)
    assert len(str(caught.value)) < 500
