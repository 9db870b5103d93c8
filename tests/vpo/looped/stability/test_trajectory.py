"""What a trajectory says, on maps where it is known on paper; and how much tokens differ."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.looped.stability.analytic_maps import linear, normal, orthogonal, rotation
from vpo.looped.stability import Dynamics, dynamics, effective_rank, fresh_start_distance, iterate, token_cosine


def run(f, start, loops=8):
    return dynamics(iterate(f, start, loops)).per_loop()


def test_a_contraction_settles_along_a_straight_line():
    goal = normal(4, seed=0)
    states = iterate(linear(0.8 * torch.eye(4, dtype=torch.float64), 0.2 * goal), normal(1, 3, 4, seed=1), 8)
    seen = dynamics(states)
    assert torch.allclose(seen.contraction[1:], torch.tensor(0.8).double())
    assert torch.allclose(seen.cosine[1:], torch.ones(7, 1, 3).double())
    assert torch.allclose(seen.period2[1:], torch.tensor(1 + 1 / 0.8).double())  # d + d / .8 over d
    assert seen.mean_contraction() == pytest.approx(0.8)
    by_hand = (states[3] - states[2]).norm(dim=-1) / states[3].norm(dim=-1)
    assert torch.allclose(seen.residual[2], by_hand)
    assert torch.allclose(seen.step_size[2], (states[3] - states[2]).norm(dim=-1) / 2)  # over 4 channels
    assert torch.allclose(seen.norm_growth[2], states[3].norm(dim=-1) / states[1].norm(dim=-1))
    assert torch.allclose(
        seen.acceleration[2], (states[3] - 2 * states[2] + states[1]).norm(dim=-1) / 2, atol=1e-12, rtol=1e-9
    )
    assert per_loop_is(seen, "rising", [math.nan, *[0.0] * 7])


def per_loop_is(seen: Dynamics, name: str, expected: list[float]) -> bool:
    return seen.per_loop()[name] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("angle", [0.4, 2.0, math.pi])
def test_a_spiral_turns_by_its_angle_at_each_step(angle):
    seen = run(linear(rotation(0.9, angle, 6)), normal(1, 2, 6, seed=2))
    assert seen["cosine"][1:] == pytest.approx([math.cos(angle)] * 7)
    assert seen["contraction"][1:] == pytest.approx([0.9] * 7)
    assert seen["oscillating"][1:] == [float(math.cos(angle) < -0.1)] * 7


def test_a_period_of_two_turns_back_and_never_shrinks():
    centre = normal(4, seed=3)
    seen = run(lambda z: 2 * centre - z, normal(1, 2, 4, seed=4))
    assert seen["cosine"][1:] == pytest.approx([-1] * 7)
    assert seen["period2"][1:] == pytest.approx([0] * 7, abs=1e-12)
    assert seen["contraction"][1:] == pytest.approx([1] * 7)
    assert seen["oscillating"][1:] == [1.0] * 7


def test_a_drift_grows_straight_on_while_its_residual_falls_like_one_over_t():
    start = torch.zeros(1, 2, 4, dtype=torch.float64)
    seen = run(lambda z: z + 1.0, start)
    assert seen["cosine"][1:] == pytest.approx([1] * 7)
    assert seen["contraction"][1:] == pytest.approx([1] * 7)
    assert seen["norm_growth"] == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8])
    assert seen["residual"] == pytest.approx([1 / t for t in range(1, 9)])
    assert seen["period2"][1:] == pytest.approx([2] * 7)
    assert seen["acceleration"][1:] == pytest.approx([0] * 7, abs=1e-12)


def test_geometric_growth_moves_the_scale_alone():
    seen = run(lambda z: 1.1 * z, normal(1, 2, 4, seed=5))
    assert seen["norm_growth"][-1] == pytest.approx(1.1**7)
    assert seen["contraction"][1:] == pytest.approx([1.1] * 7)
    assert seen["residual"] == pytest.approx([1 - 1 / 1.1] * 8)
    assert seen["scale_free_residual"] == pytest.approx([0] * 8, abs=1e-12)


def test_a_state_that_stands_still_has_no_direction():
    seen = run(lambda z: z, normal(1, 2, 4, seed=6), loops=3)
    assert seen["residual"] == [0, 0, 0]
    assert all(math.isnan(value) for name in ("cosine", "contraction", "oscillating") for value in seen[name])
    assert math.isnan(dynamics(iterate(lambda z: z, normal(1, 2, 4, seed=6), 3)).mean_contraction())


def test_rounding_is_not_taken_for_motion():
    f = linear(0.1 * torch.eye(4), 1.0)  # in fp32 it has settled to the last bit or two after some ten loops
    seen = dynamics(iterate(f, normal(1, 5, 4, seed=7).float(), 30))
    assert seen.mean_contraction() == pytest.approx(0.1, rel=0.2)
    assert seen.contraction[20:].isnan().all()


def test_a_token_that_overflows_is_counted_and_left_out_of_the_means():
    start = torch.tensor([[[1.0, 1.0], [1e30, 1e30]]])
    seen = run(lambda z: z * torch.tensor([[1.5], [1e5]]), start, loops=3)
    assert seen["finite"] == [0.5, 0.5, 0.5]
    assert seen["contraction"][1:] == pytest.approx([1.5, 1.5])


def test_the_first_steps_can_be_left_out_of_the_mean():
    states = [torch.full((1, 1, 1), x).double() for x in (0.0, 100.0, 101.0, 101.5, 101.75)]
    assert dynamics(states).mean_contraction() == pytest.approx(0.5)
    assert dynamics(states).mean_contraction(skip=0) == pytest.approx((0.01 * 0.5 * 0.5) ** (1 / 3))
    assert math.isnan(dynamics(states[:3]).mean_contraction())


@given(seed=st.integers(0, 10_000), junk=st.sampled_from([0.0, 1e6, math.nan, math.inf]))
@settings(max_examples=25, deadline=None)
def test_padding_has_no_share_in_any_number(seed, junk):
    states = [normal(2, 5, 4, seed=seed + i) for i in range(5)]
    mask = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[0, 0] = True
    soiled = [torch.where(mask.unsqueeze(-1), state, junk) for state in states]
    clean, dirty = dynamics(states, mask), dynamics(soiled, mask)
    assert dirty.residual[:, ~mask].isnan().all()
    for name, values in clean.per_loop().items():
        assert values == pytest.approx(dirty.per_loop()[name], nan_ok=True)
    alone = dynamics([state[mask][None] for state in states]).per_loop()
    assert alone["cosine"] == pytest.approx(clean.per_loop()["cosine"], nan_ok=True)
    assert effective_rank(soiled[0], mask) == pytest.approx(effective_rank(states[0][mask]))
    assert token_cosine(soiled[0], mask) == pytest.approx(token_cosine(states[0], mask), nan_ok=True)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_another_orthogonal_basis_changes_nothing_and_a_scale_only_the_sizes(seed, scale):
    states, basis = [normal(1, 4, 5, seed=seed + i) for i in range(5)], orthogonal(5, seed)
    here, there = dynamics(states).per_loop(), dynamics([scale * state @ basis for state in states]).per_loop()
    for name, values in here.items():
        factor = scale if name in ("step_size", "acceleration") else 1.0
        assert [factor * value for value in values] == pytest.approx(there[name], nan_ok=True)
    assert effective_rank(scale * states[0] @ basis) == pytest.approx(effective_rank(states[0]))
    assert token_cosine(scale * states[0] @ basis) == pytest.approx(token_cosine(states[0]))


def test_batches_join_to_the_mean_over_all_their_tokens():
    first, second = [normal(2, 3, 4, seed=i) for i in range(4)], [normal(1, 5, 4, seed=10 + i) for i in range(4)]
    joined = Dynamics.join([dynamics(first), dynamics(second)])
    assert joined.residual.shape == (3, 1, 11)
    means = [dynamics(states).per_loop()["residual"] for states in (first, second)]
    assert joined.per_loop()["residual"] == pytest.approx([(6 * a + 5 * b) / 11 for a, b in zip(*means, strict=True)])


def test_fresh_starts_meet_under_a_contraction_and_never_under_a_drift():
    first, second = normal(1, 3, 4, seed=20), normal(1, 3, 4, seed=21)
    goal = normal(4, seed=22)
    distance = fresh_start_distance(linear(0.5 * torch.eye(4, dtype=torch.float64), 0.5 * goal), first, second, 20)
    assert distance.shape == (21, 1, 3)
    # |a_t - b_t| halves at every loop; its size is relative to a_t.
    assert distance[1, 0, 0] == pytest.approx(float((first - second)[0, 0].norm() / (first[0, 0] + goal).norm()))
    assert distance[-1].max() < 1e-5
    kept = fresh_start_distance(lambda z: z + 0.0, first, second, 5, torch.tensor([[True, True, False]]))
    assert torch.allclose(kept[:, 0, :2], kept[:1, 0, :2].expand(6, 2))
    assert kept[:, 0, 2].isnan().all()


@pytest.mark.parametrize("shape", [(40, 5), (5, 40)])
def test_the_effective_rank_is_that_of_the_singular_values(shape):
    rows = normal(*shape, seed=30)
    values = torch.linalg.svdvals(rows / rows.square().mean(1, keepdim=True).sqrt())
    share = values / values.sum()
    assert effective_rank(rows) == pytest.approx(float((-share * share.log()).sum().exp()), rel=1e-6)


def test_landmarks_of_diversity():
    alike = torch.ones(1, 6, 8) * torch.arange(1, 7)[None, :, None]  # sizes differ, directions do not
    assert effective_rank(alike) == pytest.approx(1.0, abs=1e-5)
    assert token_cosine(alike) == pytest.approx(1.0)
    different = torch.eye(8)[None, :6]
    assert effective_rank(different) == pytest.approx(6.0)
    assert token_cosine(different) == pytest.approx(0.0, abs=1e-12)
    opposed = torch.tensor([[[1.0, 2.0], [-1.0, -2.0]]])
    assert token_cosine(opposed) == pytest.approx(-1.0)
    assert math.isnan(token_cosine(torch.ones(3, 1, 4)))  # no pair
    assert math.isnan(effective_rank(torch.ones(1, 2, 4), torch.zeros(1, 2, dtype=torch.bool)))


def test_the_token_cosine_is_the_mean_over_pairs_within_sequences():
    state, mask = normal(2, 4, 5, seed=31), torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]]).bool()
    pairs = []
    for row in range(2):
        tokens = state[row][mask[row]]
        for i in range(len(tokens)):
            for j in range(len(tokens)):
                if i != j:
                    pairs.append(float(torch.cosine_similarity(tokens[i], tokens[j], dim=0)))
    assert token_cosine(state, mask) == pytest.approx(sum(pairs) / len(pairs))


def test_a_thousand_directions_in_half_precision_are_not_inflated_by_rounding():
    rows = (normal(256, 2, seed=32) @ normal(2, 512, seed=33)).float()  # two directions
    assert effective_rank(rows) < 2.001


def test_states_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected two or more of one shape \(B, T, H\)"):
        dynamics([torch.ones(1, 2, 3)])
    with pytest.raises(ValueError, match="one a token"):
        dynamics([torch.ones(1, 2, 3)] * 2, torch.ones(1, 3))
