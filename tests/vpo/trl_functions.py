"""Reward functions as TRL takes them, and completions to call them on."""

from __future__ import annotations

import asyncio

from vpo.answers import AnswerFormat
from vpo.rewards import AnswerReward

THREE = AnswerFormat(3)
ONE = AnswerFormat(1)
COMPLETIONS = [THREE.render(["aa", "b"]), "no tags at all", THREE.render(["ccc"], "thinking")]
PROMPTS = ["p0", "p1", "p2"]


def length(completions, **kwargs):
    """A reward function as TRL's documentation has it."""
    return [float(len(completion)) for completion in completions]


def vectors(completions, **kwargs):
    return [[len(completion), completion.count("c")] for completion in completions]


def matches(completions, truth, **kwargs):
    return [1.0 if completion == target else 0.0 for completion, target in zip(completions, truth, strict=True)]


async def async_length(completions, **kwargs):
    await asyncio.sleep(0)
    return length(completions)


class AsyncLength:
    async def __call__(self, completions, **kwargs):
        return length(completions)


def returning(values, name="func"):
    def func(completions, **kwargs):
        return values

    func.__name__ = name
    return func


def call(func, completions=COMPLETIONS, answer_format=THREE, **kwargs):
    reward = AnswerReward(func, answer_format)
    reward(prompts=PROMPTS[: len(completions)], completions=completions, **kwargs)
    return reward
