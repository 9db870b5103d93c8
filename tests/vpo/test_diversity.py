"""Diversity terms of other methods against plain loops over a group."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from tests.vpo.answer_groups import answer_groups, by_member
from vpo.objective import (
    GRPO,
    AnswerGroups,
    BatchExploration,
    Darling,
    Unlikeliness,
    make_diversity,
)
from vpo.objective.diversity import members_that_agree

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}


def agreeing(groups: AnswerGroups, p: int, g: int) -> float:
    labels = [
        [label for label, here in zip(row, exists, strict=True) if here]
        for row, exists in zip(groups.labels[p].tolist(), groups.mask[p].tolist(), strict=True)
    ]
    counts = [sum(label in other for j, other in enumerate(labels) if j != g) for label in labels[g]]
    return sum(counts) / len(counts) if counts else 0.0


@settings(deadline=None)
@given(answer_groups())
def test_members_that_agree_equals_plain_loops(groups):
    expected = by_member(groups, lambda p, g: agreeing(groups, p, g))
    torch.testing.assert_close(members_that_agree(groups).double(), expected, atol=1e-6, rtol=0)


def singles(labels: list[int], rewards: list[float], logps: list[float] | None = None) -> AnswerGroups:
    size = len(labels)
    return AnswerGroups(
        torch.tensor(rewards).view(1, size, 1, 1),
        torch.ones(1, size, 1, dtype=torch.bool),
        torch.ones(1),
        labels=torch.tensor(labels).view(1, size, 1),
        logps=None if logps is None else torch.tensor([logps]),
    )


def test_darling_is_quality_times_the_share_of_members_that_answered_otherwise():
    groups = singles([1, 1, 1, 2], [1.0, 1.0, 0.0, 1.0])
    got = Darling().shape(GRPO().scores(groups), groups)
    torch.testing.assert_close(got, torch.tensor([[1 / 3, 1 / 3, 0.0, 1.0]]))
    same = singles([1, 1], [1.0, 0.5])
    torch.testing.assert_close(Darling(floor=0.1).shape(GRPO().scores(same), same), torch.tensor([[0.1, 0.05]]))


def test_batch_exploration_subtracts_the_share_of_members_with_the_same_answer():
    groups = singles([1, 1, 1, 2], [1.0, 1.0, 0.0, 1.0])
    got = BatchExploration(weight=2.0).shape(GRPO().scores(groups), groups)
    torch.testing.assert_close(got, torch.tensor([[0.0, 0.0, -1.0, 1.0]]))


def test_unlikeliness_pays_the_likeliest_member_least():
    groups = singles([1, 2, 3, 4], [1.0, 1.0, 1.0, 0.0], [-3.0, -1.0, -2.0, -0.5])
    got = Unlikeliness(beta=0.4).shape(GRPO().scores(groups), groups)
    torch.testing.assert_close(got, torch.tensor([[0.9, 0.7, 0.8, 0.0]]))


def test_terms_are_found_by_name_and_refuse_what_they_do_not_know():
    assert make_diversity("darling", floor=0.1) == Darling(0.1)
    with pytest.raises(ValueError, match="diversity is 'entropy': expected one of batch_exploration, darling, unlikel"):
        make_diversity("entropy")
    with pytest.raises(TypeError, match=r"diversity 'darling' does not take the options \['beta'\]"):
        make_diversity("darling", beta=1)
    with pytest.raises(ValueError, match="beta is 2: expected a share"):
        make_diversity("unlikeliness", beta=2)
    with pytest.raises(ValueError, match="floor is 2: expected a share"):
        make_diversity("darling", floor=2)


def test_terms_without_what_they_read_are_refused():
    groups = AnswerGroups(torch.rand(1, 2, 1, 1), torch.ones(1, 2, 1, dtype=torch.bool), torch.ones(1))
    with pytest.raises(ValueError, match="got no labels"):
        Darling().shape(GRPO().scores(groups), groups)
    with pytest.raises(ValueError, match="got no log-probabilities"):
        Unlikeliness().shape(GRPO().scores(groups), groups)
