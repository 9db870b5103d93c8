"""What a set is worth beyond linear draws: Chebyshev, hypervolume, exact integration, coverage, anchor."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta
from torch import Tensor

from tests.vpo.answer_groups import answer_groups, by_member, existing, set_value
from vpo.objective import (
    VPO,
    AnswerGroups,
    chebyshev_set_reward,
    exact_set_reward,
    group_advantages,
    hypervolume,
    set_reward,
)
from vpo.weightings import Dirichlet

TOLERANCE = {"atol": 1e-9, "rtol": 1e-9}
CORNERS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
WITH_COMPROMISE = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.45, 0.45]])


def volume_by_cells(answers: list[list[float]], reference: float) -> float:
    """Cut space at every coordinate and add up the cells below some answer."""
    if not answers:
        return 0.0
    axes = [sorted({reference, *(max(a[d], reference) for a in answers)}) for d in range(len(answers[0]))]
    total = 0.0
    for cell in itertools.product(*(range(len(axis) - 1) for axis in axes)):
        top = [axes[d][i + 1] for d, i in enumerate(cell)]
        if any(all(a[d] >= top[d] for d in range(len(top))) for a in answers):
            size = 1.0
            for d, i in enumerate(cell):
                size *= axes[d][i + 1] - axes[d][i]
            total += size
    return total


@settings(deadline=None)
@given(answer_groups(), st.sampled_from([0.0, -0.1, 0.3]))
def test_hypervolume_equals_the_sum_of_dominated_cells(groups, reference):
    got = hypervolume(groups.rewards, groups.mask, reference)
    expected = by_member(groups, lambda p, g: volume_by_cells(existing(groups, p, g), reference))
    torch.testing.assert_close(got, expected, **TOLERANCE)


@settings(deadline=None)
@given(answer_groups())
def test_chebyshev_equals_plain_loops(groups):
    def value(p: int, g: int) -> float:
        answers = existing(groups, p, g)
        if not answers:
            return 0.0
        best = []
        for w in groups.weights[p].tolist():
            utilities = [max(w) - max(a * (1 - r) for a, r in zip(w, answer, strict=True)) for answer in answers]
            best.append(max(utilities))
        return sum(best) / len(best)

    got = chebyshev_set_reward(groups.rewards, groups.weights.unsqueeze(1), groups.mask)
    torch.testing.assert_close(got, by_member(groups, value), **TOLERANCE)


@pytest.mark.parametrize(
    "value",
    [
        hypervolume,
        lambda r: chebyshev_set_reward(r, Dirichlet().draw(200, 2, 0)),
    ],
    ids=["hypervolume", "chebyshev"],
)
def test_a_compromise_below_the_hull_is_paid_where_a_linear_taste_ignores_it(value):
    weights = Dirichlet().draw(200, 2, 0)
    assert torch.equal(set_reward(WITH_COMPROMISE, weights), set_reward(CORNERS, weights))
    assert value(WITH_COMPROMISE) > value(CORNERS) + 0.01


def test_every_pareto_optimal_answer_is_chosen_by_some_chebyshev_taste():
    front = torch.tensor([[1.0, 0.0], [0.8, 0.1], [0.4, 0.4], [0.1, 0.8], [0.0, 1.0]])  # below the hull
    weights = Dirichlet().draw(2000, 2, 0)
    everything = chebyshev_set_reward(front, weights)
    for index in range(len(front)):
        rest = torch.cat([front[:index], front[index + 1 :]])
        assert everything > chebyshev_set_reward(rest, weights) + 1e-4


def test_the_hypervolume_of_very_many_answers_is_refused():
    with pytest.raises(ValueError, match="hypervolume of 13 answers: expected at most 12"):
        hypervolume(torch.rand(13, 2))


@settings(deadline=None, max_examples=25)
@given(answer_groups(dim=2, most_members=2), st.sampled_from([(1.0, 1.0), (0.4, 0.4), (3.0, 0.5)]))
def test_exact_integration_equals_numerical_quadrature(groups, concentration):
    def value(p: int, g: int) -> float:
        answers = existing(groups, p, g)
        if not answers:
            return 0.0

        def best(t: float) -> float:
            return max(t * a + (1 - t) * b for a, b in answers)

        kinks = sorted({0.0, 1.0, *(x for x in crossings(answers) if 0 < x < 1)})
        law = beta(*concentration)
        # By parts: the density may be infinite at the ends, the distribution function is not.
        total = best(1.0)
        for low, high in itertools.pairwise(kinks):
            slope = (best(high) - best(low)) / (high - low)
            total -= slope * quad(law.cdf, low, high, epsabs=1e-11)[0]
        return total

    got = exact_set_reward(groups.rewards, torch.tensor(concentration), groups.mask)
    torch.testing.assert_close(got, by_member(groups, value), atol=1e-7, rtol=1e-7)


def crossings(answers: list[list[float]]) -> list[float]:
    found = []
    for (a, b), (c, d) in itertools.combinations(answers, 2):
        steeper = (a - b) - (c - d)
        if steeper:
            found.append((d - b) / steeper)
    return found


def test_exact_integration_is_what_draws_converge_to():
    rewards = torch.rand(6, 3, 2, generator=torch.Generator().manual_seed(0))
    for alpha in (1.0, 0.3):
        drawn = set_reward(rewards, Dirichlet(alpha, "sobol").draw(1 << 14, 2, 0))
        exact = exact_set_reward(rewards, torch.tensor([alpha, alpha]))
        torch.testing.assert_close(exact, drawn, atol=1e-4, rtol=0)


def test_exact_integration_with_all_weight_on_one_component_is_its_maximum():
    rewards = torch.tensor([[[0.2, 0.9], [0.7, 0.1]]])
    assert exact_set_reward(rewards, torch.tensor([0.0, 1.0])).item() == pytest.approx(0.9)
    assert exact_set_reward(rewards, torch.tensor([2.0, 0.0])).item() == pytest.approx(0.7)


def test_exact_integration_of_three_components_is_refused():
    with pytest.raises(ValueError, match="exact integration of 3 components: expected 2"):
        exact_set_reward(torch.rand(2, 3), torch.ones(3))


@settings(deadline=None, max_examples=40)
@given(answer_groups(dim=2, most_members=3))
def test_vpo_integrates_where_no_weightings_are_drawn_also_over_the_pool(groups):
    drawn = torch.stack([Dirichlet(1.0, "sobol").draw(4096, 2, 0)] * len(groups.rewards)).double()
    sampled = AnswerGroups(groups.rewards, groups.mask, groups.w_star, drawn)
    concentration = torch.ones(len(groups.rewards), 2)
    exact = AnswerGroups(groups.rewards, groups.mask, groups.w_star, concentration=concentration)
    objective = VPO(coverage=1.0)
    torch.testing.assert_close(objective.scores(exact), objective.scores(sampled), atol=2e-3, rtol=0)


@settings(deadline=None)
@given(answer_groups(), st.sampled_from([0.5, 3.0]))
def test_coverage_pays_what_the_pool_would_lose_without_the_completion(groups, coverage):
    members = groups.rewards.shape[1]

    def value(p: int, g: int) -> float:
        weights = groups.weights[p].tolist()
        pool = [vector for j in range(members) for vector in existing(groups, p, j)]
        peers = [vector for j in range(members) if j != g for vector in existing(groups, p, j)]
        own = set_value(existing(groups, p, g), weights)
        return own + coverage * members * (set_value(pool, weights) - set_value(peers, weights))

    torch.testing.assert_close(VPO(coverage=coverage).scores(groups), by_member(groups, value), **TOLERANCE)


@settings(deadline=None)
@given(answer_groups(), st.sampled_from([0.0, 0.5, 3.0]))
def test_first_answers_have_a_share_of_coverage_of_their_own(groups, first):
    members = groups.rewards.shape[1]

    def value(p: int, g: int) -> float:
        weights = groups.weights[p].tolist()
        own = existing(groups, p, g)
        peers = [vector for j in range(members) if j != g for vector in existing(groups, p, j)]
        without = set_value(peers, weights)
        opening, everything = (set_value(peers + added, weights) - without for added in (own[:1], own))
        return set_value(own, weights) + members * (first * opening + 3.0 * (everything - opening))

    objective = VPO(coverage=3.0, coverage_first=first)
    torch.testing.assert_close(objective.scores(groups), by_member(groups, value), **TOLERANCE)


def test_coverage_tells_two_equal_completions_from_a_third_that_adds_something():
    rewards = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]]])
    groups = AnswerGroups(rewards, torch.ones(1, 3, 1, dtype=torch.bool), torch.ones(2), torch.eye(2).unsqueeze(0))
    assert VPO().scores(groups).tolist() == [[0.5, 0.5, 0.5]]
    assert VPO(coverage=1.0).scores(groups).tolist() == [[0.5, 0.5, 2.0]]


@settings(deadline=None)
@given(answer_groups(), st.sampled_from([0.5, 2.0]))
def test_merit_pays_each_different_vector_of_a_set_once(groups, merit):
    places = groups.rewards.shape[2]

    def value(p: int, g: int) -> float:
        answers = existing(groups, p, g)
        w_star = (groups.w_star[p] / groups.w_star[p].sum()).tolist()
        different = {tuple(vector) for vector in answers}
        own = sum(sum(w * r for w, r in zip(w_star, vector, strict=True)) for vector in different)
        return set_value(answers, groups.weights[p].tolist()) + merit / places * own

    torch.testing.assert_close(VPO(merit=merit).scores(groups), by_member(groups, value), **TOLERANCE)


def test_with_merit_an_answer_that_is_best_for_no_taste_is_still_better_than_none():
    rewards = torch.tensor([[[[1.0, 1.0], [0.5, 0.0]], [[1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    groups = AnswerGroups(rewards, torch.ones(1, 3, 2, dtype=torch.bool), torch.ones(2), torch.eye(2).unsqueeze(0))
    assert VPO().scores(groups).tolist() == [[1.0, 1.0, 1.0]]
    assert VPO(merit=1.0).scores(groups).tolist() == [[1.625, 1.5, 1.5]]  # a copy of the first is worth no more


@settings(deadline=None)
@given(answer_groups(), st.sampled_from(["first", "mean"]))
def test_the_anchor_is_a_share_of_one_answers_utility(groups, which):
    def value(p: int, g: int) -> float:
        answers = existing(groups, p, g)
        w_star = (groups.w_star[p] / groups.w_star[p].sum()).tolist()  # a taste, as those of the set are
        held = [sum(w * r for w, r in zip(w_star, a, strict=True)) for a in answers]
        one = 0.0 if not held else held[0] if which == "first" else sum(held) / len(held)
        return 0.7 * set_value(answers, groups.weights[p].tolist()) + 0.3 * one

    torch.testing.assert_close(VPO(anchor=0.3, anchor_on=which).scores(groups), by_member(groups, value), **TOLERANCE)


@settings(deadline=None)
@given(answer_groups(missing=False, most_answers=1))
def test_a_full_anchor_on_single_answers_is_grpo(groups):
    scores = VPO(anchor=1.0).scores(groups)
    utilities = groups.utilities() / groups.w_star[0].sum()
    expected = group_advantages(utilities.reshape(-1), groups.rewards.shape[1])
    advantages = VPO(anchor=1.0).advantages(groups, scores)
    torch.testing.assert_close(advantages.view(-1), expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"utility": "cubic"}, "utility is 'cubic'"),
        ({"anchor": 1.5}, "anchor is 1.5: expected a share"),
        ({"anchor_on": "last"}, "anchor_on is 'last'"),
        ({"coverage": -1.0}, "coverage is -1.0: expected 0"),
        ({"coverage": 1.0, "coverage_first": 2.0}, "coverage_first is 2.0: expected 0 to coverage = 1.0"),
        ({"coverage_first": 0.5}, "coverage_first is 0.5: expected 0 to coverage = 0.0"),
        ({"merit": -1.0}, "merit is -1.0: expected 0"),
        ({"coverage": 1.0, "utility": "hypervolume"}, "use\n? ?utility='chebyshev'|Use utility='chebyshev'"),
    ],
)
def test_options_without_a_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VPO(**options)


def test_only_linear_utilities_can_be_integrated():
    rewards: Tensor = torch.rand(1, 2, 1, 2)
    groups = AnswerGroups(rewards, torch.ones(1, 2, 1, dtype=torch.bool), torch.ones(2), concentration=torch.ones(1, 2))
    with pytest.raises(ValueError, match="only linear utilities of two components"):
        VPO(utility="chebyshev").scores(groups)
