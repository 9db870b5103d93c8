"""Estimators of value against slow definitions, hand-made numbers and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from eval.depth.attention import attention_change, head_similarity
from eval.depth.groups import depth_groups, position_names, quarter_names
from eval.depth.oracle import best_shares, oracle_depth, rank_correlation, regret
from eval.depth.readings import Readings, read_outputs
from eval.depth.sweet_spot import by_sequence, step_gains, sweet_spot, token_means
from vpo.looped.stability import effective_rank

LOSSES = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(0, 9))


# --- the oracle ----------------------------------------------------------------------------------------------------


@given(LOSSES)
def test_the_oracle_is_the_first_of_the_best_loops_and_its_regret_is_none(losses: np.ndarray) -> None:
    depths = oracle_depth(losses)
    for token, depth in enumerate(depths):
        column = losses[:, token].tolist()
        assert depth == column.index(min(column)) + 1
    taken = losses[depths - 1, np.arange(losses.shape[1])]
    assert (regret(taken, losses) == 0).all()
    assert sum(best_shares(losses)) == pytest.approx(1)


@given(LOSSES, st.randoms(use_true_random=False))
def test_no_choice_among_the_loops_beats_the_oracle(losses: np.ndarray, random) -> None:
    picked = np.array([losses[random.randrange(len(losses)), token] for token in range(losses.shape[1])])
    found = regret(picked, losses)
    assert (found >= 0).all()
    assert found == pytest.approx([picked[i] - min(losses[:, i]) for i in range(len(picked))])


def test_the_rank_correlation_is_scipys_and_nothing_where_all_are_alike() -> None:
    a, b = [1, 2, 2, 4, 3], [2.0, 1.0, 5.0, 5.0, 4.0]
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert math.isnan(rank_correlation([4, 4, 4], [1, 2, 3]))


@pytest.mark.parametrize("losses", [np.zeros(3), np.zeros((0, 3)), np.array([[np.nan]])])
def test_losses_that_are_none_are_refused(losses: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cross_entropy has shape"):
        oracle_depth(losses)


def test_a_choice_of_other_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="one loss a token"):
        regret([1.0], np.zeros((2, 3)))


# --- the sweet spot ------------------------------------------------------------------------------------------------


def test_the_sweet_spot_is_the_first_loop_within_the_slack_of_the_best() -> None:
    # Means 3, 2.005, 2, 2.5: loop 2 is 0.005 off the best.
    sums, counts = np.array([[30.0, 20.05, 20.0, 25.0]] * 20), np.full(20, 10.0)
    assert sweet_spot(sums, counts, slack=0.01).loop == 2
    assert sweet_spot(sums, counts, slack=0.0).loop == 3
    certain = sweet_spot(sums, counts)
    assert (certain.lo, certain.hi, certain.agreement, certain.is_last) == (2, 2, 1.0, False)


def test_the_interval_holds_both_loops_where_passages_disagree() -> None:
    easy, hard = [1.0, 1.2], [3.0, 2.8]  # on average equal
    spot = sweet_spot(np.array([easy, hard] * 10), np.ones(20), slack=0.0)
    assert (spot.lo, spot.hi) == (1, 2)
    assert 0.2 < spot.agreement < 0.8


def test_the_interval_is_paired_so_what_makes_a_passage_hard_does_not_widen_it() -> None:
    difficulty = np.random.default_rng(0).normal(5, 3, size=(40, 1))
    sums = difficulty + np.array([[0.5, 0.0, 0.1]])
    spot = sweet_spot(sums, np.ones(40), slack=0.01)
    assert (spot.loop, spot.lo, spot.hi) == (2, 2, 2)
    gains = step_gains(sums, np.ones(40))
    assert gains.mean == pytest.approx([0.5, -0.1])
    assert gains.lo == pytest.approx([0.5, -0.1]) and gains.hi == pytest.approx([0.5, -0.1])


def test_the_interval_of_the_sweet_spot_has_its_coverage() -> None:
    # True means 2.0, 1.0, 1.02: with slack 0.01 the sweet spot is loop 2.
    rng, held, runs = np.random.default_rng(1), 0, 100
    for seed in range(runs):
        sums = np.array([2.0, 1.0, 1.02]) + rng.normal(0, 0.05, size=(30, 3))
        spot = sweet_spot(sums, np.ones(30), slack=0.01, num=200, seed=seed)
        held += spot.lo <= 2 <= spot.hi
    assert held >= 0.9 * runs


def test_means_weigh_tokens_and_not_passages() -> None:
    made = token_means([[10.0], [1.0]], [10, 1])
    assert made.mean == pytest.approx([1.0])
    sums, counts = by_sequence([[1.0, 2.0, 4.0]], [0, 2, 2], 3)
    assert sums.tolist() == [[1.0], [6.0]] and counts.tolist() == [1.0, 2.0], "a passage without a token is left out"


def test_a_single_passage_says_nothing_about_the_spread() -> None:
    spot = sweet_spot([[2.0, 1.0, 3.0]], [1])
    assert (spot.loop, spot.lo, spot.hi) == (2, 1, 3) and math.isnan(spot.agreement)
    assert math.isnan(token_means([[1.0]], [1]).lo[0])


@given(arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(1, 5)), elements=st.floats(0, 9)), st.floats(0, 1))
@settings(max_examples=30)
def test_the_sweet_spot_lies_within_its_loops_and_more_slack_never_deepens_it(sums: np.ndarray, slack: float) -> None:
    counts = np.ones(len(sums))
    tight, loose = (sweet_spot(sums, counts, each, num=50) for each in (slack, slack + 0.5))
    assert 1 <= tight.lo <= tight.hi <= sums.shape[1]
    assert loose.loop <= tight.loop
    again = sweet_spot(sums[::-1], counts, slack, num=50)
    assert again.loop == tight.loop, "the order of passages does not matter"


@pytest.mark.parametrize(
    ("sums", "counts", "slack", "said"),
    [
        ([[1.0]], [1, 2], 0.01, "a row a sequence"),
        ([[math.inf]], [1], 0.01, "not finite"),
        ([[1.0]], [0], 0.01, "has no token"),
        ([[1.0]], [1], -1.0, "slack is -1"),
    ],
)
def test_sums_that_cannot_be_means_are_refused(sums, counts, slack, said) -> None:
    with pytest.raises(ValueError, match=said):
        sweet_spot(sums, counts, slack)


# --- readings ------------------------------------------------------------------------------------------------------


def test_readings_are_those_of_slow_formulas_and_the_capped_loop_is_at_no_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = [torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    head = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    targets = torch.tensor([0, 5, 2, 2, 1])
    loops, rules = read_outputs(outputs, [outputs[0]], targets, 2, lambda hidden: hidden @ head)
    for t in range(3):
        for i in range(5):
            p, cap = ((outputs[s][i] @ head).softmax(-1) for s in (t, 1))
            assert float(loops.cross_entropy[t, i]) == pytest.approx(-math.log(p[targets[i]]))
            assert bool(loops.correct[t, i]) == (int(p.argmax()) == int(targets[i]))
            assert float(loops.kl_capped[t, i]) == pytest.approx(float((p * (p / cap).log()).sum()), abs=1e-12)
    assert bool(loops.kl_previous[0].isnan().all())
    assert (loops.kl_capped[1] == 0).all()
    assert torch.equal(rules.cross_entropy[0], loops.cross_entropy[0]), "a rule that always stops at the first loop"


def test_chunks_do_not_show() -> None:
    outputs, targets = [torch.randn(7, 3)], torch.randint(5, (7,))
    head = torch.randn(3, 5)
    whole, _ = read_outputs(outputs, [], targets, 1, lambda hidden: hidden @ head)
    parts = [
        read_outputs([outputs[0][part]], [], targets[part], 1, lambda hidden: hidden @ head)[0]
        for part in (slice(0, 2), slice(2, 7))
    ]
    assert torch.allclose(Readings.join(parts).cross_entropy, whole.cross_entropy)


def test_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="cap is 3"):
        read_outputs([torch.zeros(2, 3)], [], torch.zeros(2, dtype=torch.long), 3, lambda hidden: hidden)
    with pytest.raises(ValueError, match="expected 4 in each"):
        read_outputs([torch.zeros(2, 3)], [], torch.zeros(4, dtype=torch.long), 1, lambda hidden: hidden)


# --- attention and diversity ---------------------------------------------------------------------------------------


def test_attention_that_does_not_change_moves_nowhere_and_equal_heads_are_alike() -> None:
    row = torch.softmax(torch.randn(1, 1, 1, 4, 4), -1).tril()
    row = row / row.sum(-1, keepdim=True)
    weights = row.expand(3, 2, 2, 3, 4, 4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    assert math.isnan(attention_change(weights, mask)[0])
    assert attention_change(weights, mask)[1:] == pytest.approx([0.0, 0.0])
    assert head_similarity(weights, mask) == pytest.approx([1.0] * 3)


def test_attention_that_moves_from_one_key_to_two_moves_by_the_logarithm_of_two_and_other_heads_are_orthogonal() -> (
    None
):
    first = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    second = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    weights = torch.stack([first, second])[:, None, None, None]
    assert attention_change(weights, mask)[1] == pytest.approx(math.log(2)), "KL of (1, 0) to (1/2, 1/2)"
    heads = torch.stack([second, second.flip(1)])[None, None, None]
    assert head_similarity(heads, mask) == pytest.approx([0.0])
    assert math.isnan(head_similarity(weights, mask)[0]), "one head has no other"


@given(st.integers(2, 5))
@settings(max_examples=4)
def test_the_effective_rank_of_equal_directions_is_their_number(count: int) -> None:
    # Rows of equal size along orthogonal axes: `count` equal singular values, entropy log(count).
    rows = torch.eye(count, 8, dtype=torch.float64).repeat(3, 1)
    assert effective_rank(rows) == pytest.approx(count)


# --- depths by kind ------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.floats(0, 5)), min_size=1, max_size=20))
def test_groups_split_the_tokens_and_their_means_join_to_the_mean_of_all(tokens: list) -> None:
    names, depths, losses = (list(each) for each in zip(*tokens, strict=True))
    groups = depth_groups(names, depths, depths, losses)
    assert sum(group.num_tokens for group in groups) == len(tokens)
    assert all(sum(group.shares) == pytest.approx(1) for group in groups)
    joined = sum(group.num_tokens * group.mean_depth for group in groups) / len(tokens)
    assert joined == pytest.approx(sum(depths) / len(depths))
    by_hand = {name: [d for n, d in zip(names, depths, strict=True) if n == name] for name in names}
    assert all(group.mean_depth == pytest.approx(np.mean(by_hand[group.name])) for group in groups)


def test_positions_are_named_by_ranges_that_grow_fourfold() -> None:
    names, order = position_names([0, 1, 3, 4, 15, 16, 63, 64])
    assert names == ["0", "1-3", "1-3", "4-15", "4-15", "16-63", "16-63", "64-255"]
    assert order == ["0", "1-3", "4-15", "16-63", "64-255"]


def test_quarters_are_of_equal_size_and_ties_stay_together() -> None:
    assert [quarter_names(range(8)).count(name) for name in dict.fromkeys(quarter_names(range(8)))] == [2, 2, 2, 2]
    assert set(quarter_names([5.0] * 7)) == {"lowest quarter"}


def test_depths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected \\(N,\\) for all"):
        depth_groups(["a"], [1, 2], [1, 2], [0.0, 0.0])
    with pytest.raises(ValueError, match="depths holds 0"):
        depth_groups(["a"], [0], [1], [0.0])
