"""Credit of single answers against slow oracles, and the laws that it obeys."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.answer_groups import answer_groups, set_value
from vpo.objective import VPO, AnswerGroups, MultiRLVR, answer_credit, credit_advantages, group_advantages

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}


def credit_in_loops(answers: dict[int, list[float]], weights: list[list[float]], credit: str) -> dict[int, float]:
    """``answers``: place -> reward vector."""

    def value(places) -> float:
        return set_value([answers[place] for place in sorted(places)], weights)

    everything, result = set(answers), {}
    for place in answers:
        if credit == "marginal":
            result[place] = value(everything) - value(everything - {place})
        elif credit == "to_go":
            result[place] = value(everything) - value({p for p in answers if p < place})
        elif credit == "gain":
            result[place] = value({p for p in answers if p <= place}) - value({p for p in answers if p < place})
        elif credit == "shapley":
            total = 0.0
            for order in itertools.permutations(answers):
                before = set(order[: order.index(place)])
                total += value(before | {place}) - value(before)
            result[place] = total / math.factorial(len(answers))
        else:
            result[place] = value(everything)
    return result


@settings(deadline=None, max_examples=60)
@given(answer_groups(most_members=3), st.sampled_from(["set", "marginal", "to_go", "gain", "shapley"]))
def test_credit_equals_plain_loops(groups, credit):
    got = answer_credit(VPO(), groups, credit)
    for prompt, member in itertools.product(range(got.shape[0]), range(got.shape[1])):
        here = {
            place: groups.rewards[prompt, member, place].tolist()
            for place in range(got.shape[2])
            if groups.mask[prompt, member, place]
        }
        expected = credit_in_loops(here, groups.weights[prompt].tolist(), credit)
        for place in range(got.shape[2]):
            assert got[prompt, member, place].item() == pytest.approx(expected.get(place, 0.0), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    answer_groups(most_members=3),
    st.sampled_from([VPO(), VPO(anchor=0.3), VPO(coverage=2.0), VPO(utility="hypervolume"), MultiRLVR("max")]),
    st.sampled_from(["shapley", "gain"]),
)
def test_shapley_shares_and_gains_add_up_to_the_score(groups, objective, credit):
    total = answer_credit(objective, groups, credit).sum(-1)
    torch.testing.assert_close(total, objective.scores(groups), **TOLERANCE)


def test_a_superfluous_answer_earns_nothing_and_a_bad_one_is_not_paid_for_its_neighbour():
    rewards = torch.tensor([[[[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]])
    groups = AnswerGroups(rewards, torch.ones(1, 1, 3, dtype=torch.bool), torch.ones(2), torch.eye(2).unsqueeze(0))
    assert answer_credit(VPO(), groups, "set").tolist() == [[[0.5, 0.5, 0.5]]]
    assert answer_credit(VPO(), groups, "marginal").tolist() == [[[0.0, 0.0, 0.0]]]
    assert answer_credit(VPO(), groups, "to_go").tolist() == [[[0.5, 0.0, 0.0]]]
    assert answer_credit(VPO(), groups, "gain").tolist() == [[[0.5, 0.0, 0.0]]]
    assert answer_credit(VPO(), groups, "shapley").tolist() == [[[0.25, 0.25, 0.0]]]


def test_the_gain_of_the_first_answer_under_tastes_about_w_star_is_its_scalar():
    """So "gain" asks of the first answer what GRPO asks of the only one."""
    rewards = torch.rand(2, 4, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tastes = torch.tensor([[[0.2, 0.8], [0.4, 0.6]]], dtype=torch.float64).expand(2, -1, -1)
    groups = AnswerGroups(rewards, torch.ones(2, 4, 3, dtype=torch.bool), torch.tensor([0.3, 0.7]), tastes)
    got = answer_credit(VPO(), groups, "gain")[..., 0]
    torch.testing.assert_close(got, groups.utilities()[..., 0], atol=1e-6, rtol=0)


def test_credit_of_coverage_leaves_the_peers_answers_where_they_are():
    # The same single answer in both completions: without it a completion loses its set, and the pool loses nothing.
    rewards = torch.tensor([[[[1.0]], [[1.0]]]])
    groups = AnswerGroups(rewards, torch.ones(1, 2, 1, dtype=torch.bool), torch.ones(1), torch.ones(1, 1, 1))
    assert answer_credit(VPO(coverage=5.0), groups, "marginal").tolist() == [[[1.0], [1.0]]]


@settings(deadline=None, max_examples=60)
@given(answer_groups(missing=False), st.sampled_from(["group", "batch", "none"]))
def test_every_answer_with_its_sets_credit_gets_its_sets_advantage(groups, scale):
    objective = VPO()
    scores = objective.scores(groups)
    got = credit_advantages(answer_credit(objective, groups, "set"), groups.mask, scores, scale)
    expected = group_advantages(scores.reshape(-1), scores.shape[1], scale).view_as(scores)
    torch.testing.assert_close(got, expected.unsqueeze(-1).expand_as(got), **TOLERANCE)


@settings(deadline=None, max_examples=60)
@given(answer_groups(), st.sampled_from(["marginal", "to_go", "gain", "shapley"]))
def test_advantages_of_the_ith_answers_of_a_group_sum_to_nothing(groups, credit):
    objective = VPO()
    scores = objective.scores(groups)
    got = credit_advantages(answer_credit(objective, groups, credit), groups.mask, scores, "none")
    torch.testing.assert_close(got.sum(1), torch.zeros_like(got.sum(1)), atol=1e-9, rtol=0)
    assert got[~groups.mask].count_nonzero() == 0


def test_to_go_is_an_unbiased_gradient_of_the_set_reward_and_marginal_is_not():
    """A policy of two binary answers, the second reading the first: every outcome is enumerated.

    Answer 2 copies answer 1 unless its own logit says otherwise, so what answer 1 is changes what answer 2 is likely to
    be: the marginal credit of answer 1 leaves that influence out.
    """
    logits = torch.tensor([0.3, -0.4, 0.9], dtype=torch.float64, requires_grad=True)  # a1; a2 given a1 = 0; given 1
    vectors = torch.tensor([[0.2, 0.9], [0.8, 0.1]], dtype=torch.float64)
    weights = torch.tensor([[[0.3, 0.7], [0.9, 0.1]]], dtype=torch.float64)
    mask = torch.ones(1, 1, 2, dtype=torch.bool)
    expected = torch.zeros((), dtype=torch.float64)
    estimates = dict.fromkeys(("set", "to_go", "marginal"), torch.zeros((), dtype=torch.float64))
    for first, second in itertools.product((0, 1), (0, 1)):
        logp1 = torch.nn.functional.logsigmoid(logits[0] if first else -logits[0])
        own = logits[1 + first]
        logp2 = torch.nn.functional.logsigmoid(own if second else -own)
        probability = (logp1 + logp2).exp()
        groups = AnswerGroups(vectors[[first, second]].view(1, 1, 2, 2), mask, torch.ones(2), weights)
        expected = expected + probability * VPO().scores(groups).item()
        for name in estimates:
            credit = answer_credit(VPO(), groups, name)[0, 0]
            pay = logp1 * credit[0] + logp2 * credit[1]
            estimates[name] = estimates[name] + probability.detach() * pay
    true = torch.autograd.grad(expected, logits, retain_graph=True)[0]
    got = {name: torch.autograd.grad(value, logits, retain_graph=True)[0] for name, value in estimates.items()}
    torch.testing.assert_close(got["set"], true, **TOLERANCE)
    torch.testing.assert_close(got["to_go"], true, **TOLERANCE)
    assert (got["marginal"] - true).abs().max() > 1e-3


@pytest.mark.parametrize("credit", ["marginal", "to_go", "gain", "shapley"])
@pytest.mark.parametrize("scale", ["group", "batch"])
def test_sets_that_score_alike_for_different_reasons_give_no_huge_advantages(credit, scale):
    sets = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]], [[1.0], [1.0]], [[1.0], [0.0]]]).unsqueeze(0)
    groups = AnswerGroups(sets, torch.ones(1, 4, 2, dtype=torch.bool), torch.ones(1), torch.ones(1, 1, 1))
    scores = VPO().scores(groups)
    assert scores.unique().tolist() == [1.0]
    got = credit_advantages(answer_credit(VPO(), groups, credit), groups.mask, scores, scale)
    assert 0.5 < got.abs().max() < 3


def test_unknown_credit_and_too_many_answers_are_refused():
    mask = torch.ones(1, 1, 11, dtype=torch.bool)
    groups = AnswerGroups(torch.rand(1, 1, 11, 1), mask, torch.ones(1), torch.ones(1, 1, 1))
    with pytest.raises(ValueError, match="credit is 'own': expected one of set, marginal, to_go, gain, shapley"):
        answer_credit(VPO(), groups, "own")
    with pytest.raises(ValueError, match="Shapley values of 11 answers: expected at most 10"):
        answer_credit(VPO(), groups, "shapley")
