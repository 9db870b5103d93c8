"""Judges of single answers: called concurrently, once for each different answer, in TRL's own trainer and in ours."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from vpo.answers import AnswerFormat
from vpo.per_answer import per_answer
from vpo.rewards import RewardError, VectorReward


def test_equal_answers_of_a_batch_are_judged_once_and_all_get_the_reward():
    calls = []

    @per_answer
    def length(prompt, completion, target):
        calls.append((prompt, completion, target))
        return [len(completion), float(target in completion)]

    got = length(
        prompts=["p", "p", "q", "p", "p"],
        completions=["red", "red", "red", "blue", "red"],
        target=["r", "r", "r", "r", "b"],
        completion_ids=[[1], [2], [3], [4], [5]],
    )
    assert got == [[3, 1.0], [3, 1.0], [3, 1.0], [4, 0.0], [3, 0.0]]
    assert sorted(calls) == [("p", "blue", "r"), ("p", "red", "b"), ("p", "red", "r"), ("q", "red", "r")]


def at_once(is_async: bool, answers: int, **options) -> tuple[int, float]:
    """(most calls under way at once, seconds)."""
    state, lock = {"now": 0, "most": 0}, threading.Lock()

    def enter(change: int) -> None:
        with lock:
            state["now"] += change
            state["most"] = max(state["most"], state["now"])

    def slow(prompt, completion):
        enter(1)
        time.sleep(0.1)
        enter(-1)
        return 1.0

    async def slow_async(prompt, completion):
        enter(1)
        await asyncio.sleep(0.1)
        enter(-1)
        return 1.0

    reward = per_answer(**options)(slow_async if is_async else slow)
    start = time.perf_counter()
    batch = {"prompts": ["p"] * answers, "completions": [str(i) for i in range(answers)]}
    got = asyncio.run(reward(**batch)) if is_async else reward(**batch)
    assert got == [1.0] * answers
    return state["most"], time.perf_counter() - start


@pytest.mark.parametrize("is_async", [False, True])
def test_slow_judges_are_called_concurrently_within_their_limit(is_async):
    most, seconds = at_once(is_async, 24, concurrency=24)
    assert most == 24
    assert seconds < 24 * 0.1 / 3  # one after the other it would be 2.4 s
    assert at_once(is_async, 9, concurrency=3)[0] == 3


def test_a_judge_gets_the_columns_that_it_names_and_with_kwargs_all_of_the_dataset():
    seen = []

    @per_answer
    def everything(prompt, completion, **kwargs):
        seen.append(kwargs)
        return 0.0

    @per_answer
    def spent(prompt, completion, loop_depth, trainer_state):
        return loop_depth + trainer_state

    batch = {"prompts": ["p", "p"], "completions": ["a", "a"], "target": ["t", "t"], "loop_depth": [1.0, 2.0]}
    everything(**batch, completion_ids=[[1], [2]], trainer_state=5)
    assert seen == [{"target": "t"}]
    assert spent(**batch, completion_ids=[[1], [2]], trainer_state=5) == [6.0, 7.0]


def test_messages_and_things_without_a_name_in_json_work():
    @per_answer
    def count(prompt, completion, image):
        return len(completion[0]["content"])

    message = [{"role": "assistant", "content": "abc"}]
    image = object()
    assert count(prompts=[["p"]] * 2, completions=[message] * 2, image=[image] * 2) == [3, 3]


def test_it_is_a_component_like_any_other_and_its_errors_are_reported_as_such():
    def pair(prompt, completion):
        return {"long": len(completion), "loud": float(completion.isupper())}

    reward = VectorReward([per_answer(pair)], AnswerFormat(2))
    (adapter,) = reward.adapters
    assert adapter.__name__ == "pair"
    adapter(prompts=["p"], completions=["<answer_1>AB</answer_1><answer_2>c</answer_2>"])
    assert reward.collect()[0].tolist() == [[[2.0, 1.0], [1.0, 0.0]]]
    assert reward.components == ("long", "loud")

    @per_answer
    def broken(prompt, completion):
        raise OSError("no network")

    (adapter,) = VectorReward([broken], AnswerFormat(1)).adapters
    with pytest.raises(RewardError, match="reward function 'broken' raised OSError on 1 answers: no network"):
        adapter(prompts=["p"], completions=["a"])


def test_async_judges_are_awaited_by_the_trainers_adapter():
    @per_answer(concurrency=4)
    async def judge(prompt, completion):
        return float(len(completion))

    (adapter,) = VectorReward([judge], AnswerFormat(1)).adapters
    assert asyncio.run(adapter(prompts=["p", "p"], completions=["a", "bb"])) == [1.0, 2.0]


def test_what_is_no_judge_is_refused():
    with pytest.raises(TypeError, match="was given as a judge"):
        per_answer("a name")
    with pytest.raises(ValueError, match="concurrency is 0"):
        per_answer(concurrency=0)(len)
