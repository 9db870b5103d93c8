"""Components that processes have seen in different order, or only some of them."""

from __future__ import annotations

import pytest

from trainers import scored_batch
from trainers.scored_batch import share_components
from vpo.answers import AnswerFormat
from vpo.rewards import RewardError, VectorReward


def vector(order: str) -> VectorReward:
    """A reward function that returns a dict in this order of keys; called once, unless there is none."""

    def judge(completions, **kwargs):
        return [{key: float(ord(key)) for key in order} for _ in completions]

    reward = VectorReward([judge], AnswerFormat(1))
    if order:
        reward.adapters[0](prompts=["p"], completions=["c"])
    return reward


def shared(monkeypatch, mine: VectorReward, other: VectorReward) -> VectorReward:
    """``mine`` after another process, the first one, has told what it has seen."""
    told = [adapter.components for adapter in other.adapters]
    monkeypatch.setattr(scored_batch, "gather_object", lambda own: [told, *own])
    share_components(mine)
    return mine


def test_values_follow_the_order_that_all_agree_on(monkeypatch):
    mine = shared(monkeypatch, vector("ba"), vector("ab"))
    assert mine.components == ("a", "b")
    assert mine.collect()[0].tolist() == [[[97.0, 98.0]]]


def test_a_process_without_an_answer_learns_from_the_others_and_forgets_nothing(monkeypatch):
    assert shared(monkeypatch, vector(""), vector("ab")).components == ("a", "b")
    assert shared(monkeypatch, vector("ab"), vector("")).components == ("a", "b")


def test_different_components_are_refused(monkeypatch):
    with pytest.raises(RewardError, match="components a, c on one process and a, b on another"):
        shared(monkeypatch, vector("ac"), vector("ab"))
