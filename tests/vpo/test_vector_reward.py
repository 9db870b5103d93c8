"""All reward functions together: one tensor of rewards, its mask, and the names of its components."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vpo.answers import AnswerFormat
from vpo.rewards import AnswerReward, RewardError, VectorReward, stack

THREE = AnswerFormat(3)
ONE = AnswerFormat(1)
COMPLETIONS = [THREE.render(["aa", "b"]), "no tags at all", THREE.render(["ccc"], "thinking")]
PROMPTS = ["p0", "p1", "p2"]


def length(completions, **kwargs):
    return [len(completion) for completion in completions]


def vectors(completions, **kwargs):
    return [[len(completion), completion.count("c")] for completion in completions]


def run_all(vector_reward, completions=COMPLETIONS):
    for adapter in vector_reward.adapters:
        adapter(prompts=PROMPTS, completions=completions)
    return vector_reward.collect()


def test_components_of_all_functions_are_joined_in_order():
    vector_reward = VectorReward([length, vectors], THREE)
    assert vector_reward.components is None
    rewards, mask = run_all(vector_reward)
    assert vector_reward.components == ("length", "vectors[0]", "vectors[1]")
    assert rewards.dtype == torch.float32 and mask.dtype == torch.bool
    assert mask.tolist() == [[True, True, False], [False] * 3, [True, False, False]]
    zero = [0.0, 0.0, 0.0]
    assert rewards.tolist() == [[[2, 2, 0], [1, 1, 0], zero], [zero, zero, zero], [[3, 3, 3], zero, zero]]


def test_a_single_function_needs_no_list():
    rewards, mask = run_all(VectorReward(length, ONE))
    assert rewards.shape == (3, 1, 1) and mask.all()
    assert rewards.flatten().tolist() == [len(text) for text in COMPLETIONS]


def test_names_given_twice_are_numbered():
    vector_reward = VectorReward([length, length, length], THREE)
    run_all(vector_reward)
    assert vector_reward.components == ("length", "length#2", "length#3")


def test_a_batch_without_any_answer_is_all_zero_and_masked():
    vector_reward = VectorReward([length, vectors], THREE)
    rewards, mask = run_all(vector_reward, ["", "", ""])
    assert vector_reward.components is None
    assert rewards.shape == (3, 3, 2) and not rewards.any() and not mask.any()  # an unknown function counts as one
    run_all(vector_reward)
    rewards, mask = run_all(vector_reward, ["", "", ""])
    assert rewards.shape == (3, 3, 3) and not mask.any()


def test_collecting_before_every_function_was_called_is_refused():
    vector_reward = VectorReward([length, vectors], THREE)
    vector_reward.adapters[0](PROMPTS, COMPLETIONS)
    with pytest.raises(RewardError, match="'vectors' was not called yet"):
        vector_reward.collect()


def test_collecting_from_different_batches_is_refused():
    vector_reward = VectorReward([length, vectors], THREE)
    run_all(vector_reward)
    vector_reward.adapters[0](PROMPTS[:1], COMPLETIONS[:1])
    with pytest.raises(RewardError, match="called on different completions"):
        vector_reward.collect()


def test_more_answers_than_places_are_refused():
    reward = AnswerReward(length, THREE)
    reward(PROMPTS, COMPLETIONS)
    with pytest.raises(RewardError, match="a completion holds 2 answers: expected at most 1"):
        stack([reward.last], num_answers=1)


def test_no_function_is_refused():
    with pytest.raises(ValueError, match="reward_funcs is empty"):
        VectorReward([], THREE)


@settings(deadline=None)
@given(st.lists(st.lists(st.text("abc<>", max_size=4), max_size=3), min_size=1, max_size=5))
def test_each_answer_finds_its_own_reward(batch):
    completions = [THREE.render(answers) for answers in batch]
    vector_reward = VectorReward([vectors, length], THREE)
    for adapter in vector_reward.adapters:
        adapter(prompts=[""] * len(batch), completions=completions)
    rewards, mask = vector_reward.collect()
    assert mask.sum(-1).tolist() == [len(answers) for answers in batch]
    for row, answers in enumerate(batch):
        for index, answer in enumerate(answers):
            text = answer.strip()
            assert rewards[row, index].tolist()[:2] == [len(text), text.count("c")]
            assert rewards[row, index, -1] == len(text)
    assert not rewards[~mask].any()
