"""How TRL sees a reward function that is called on answers."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle

import pytest

from tests.vpo.trl_functions import (
    COMPLETIONS,
    ONE,
    PROMPTS,
    THREE,
    AsyncLength,
    async_length,
    length,
)
from vpo.rewards import AnswerReward, RewardError


@pytest.mark.parametrize(
    ("func", "name", "is_async"),
    [
        (length, "length", False),
        (functools.partial(length, scale=2), "length", False),
        (async_length, "async_length", True),
        (functools.partial(async_length), "async_length", True),
        (AsyncLength(), "AsyncLength", True),
    ],
)
def test_trl_takes_the_adapter_for_the_kind_of_function_that_it_wraps(func, name, is_async):
    from trl.trainer.utils import get_callable_name, is_async_callable

    reward = AnswerReward(func, THREE)
    assert isinstance(reward, AnswerReward)
    assert get_callable_name(reward) == name
    assert is_async_callable(reward) is is_async_callable(func) is is_async


@pytest.mark.parametrize("func", [async_length, AsyncLength()])
def test_async_functions_are_awaited_side_by_side(func):
    async def both():
        rewards = [AnswerReward(func, THREE), AnswerReward(async_length, ONE)]
        return await asyncio.gather(*(reward(prompts=PROMPTS, completions=COMPLETIONS) for reward in rewards))

    assert asyncio.run(both()) == [[1.5, 0.0, 3.0], [float(len(text)) for text in COMPLETIONS]]


def test_async_failures_and_empty_batches_are_handled_as_in_the_sync_case():
    async def fails(**kwargs):
        raise KeyError("truth")

    reward = AnswerReward(fails, THREE)
    assert asyncio.run(reward(PROMPTS, ["", "", ""])) == [0.0, 0.0, 0.0]
    with pytest.raises(RewardError, match="'fails' raised KeyError on 3 answers: 'truth'"):
        asyncio.run(reward(PROMPTS, COMPLETIONS))


def test_a_name_of_ones_own():
    reward = AnswerReward(length, THREE, name="size")
    reward(PROMPTS, COMPLETIONS)
    assert reward.__name__ == "size" and reward.components == ("size",)


@pytest.mark.parametrize("func", [length, async_length])
def test_adapters_are_copied_and_pickled(func):
    reward = AnswerReward(func, THREE)
    for other in (copy.deepcopy(reward), pickle.loads(pickle.dumps(reward))):
        assert type(other) is type(reward) and other.func is func
