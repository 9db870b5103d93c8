"""Halting by motion on cores whose steps are known: contraction, rotation, drift, period 2."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.vpo.looped.depth.analytic_core import solve
from vpo.looped import Acceleration, FixedPoint, HaltReason, LatentDifference
from vpo.looped.depth import as_policy, to_dict

CAP = 60
CONVERGED, AT_CAP = int(HaltReason.CONVERGED), int(HaltReason.CAP)


def loops(step, start, policy):
    _, trace = solve(step, start, policy)
    return trace.depth[0, 0].item(), trace.reason[0, 0].item()


def start_at(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[None, None]


def turn(rate: float, angle: float):
    rotation = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
    )
    return lambda z: rate * z @ rotation.T


@given(rate=st.floats(0.2, 0.9), threshold=st.floats(1e-3, 0.5), hits=st.integers(1, 3))
def test_a_linear_contraction_stops_after_the_loops_of_its_formula(rate, threshold, hits):
    """From 1 to 0 at ``rate``: step t is (1-rate) rate^(t-1), and the change of the step (1-rate)^2 rate^(t-2)."""
    for make, first, size in (
        (LatentDifference, 1, lambda t: (1 - rate) * rate ** (t - 1)),
        (Acceleration, 2, lambda t: (1 - rate) ** 2 * rate ** (t - 2)),
    ):
        small = [t for t in range(first, 500) if size(t) < threshold * (1 - 1e-9)]
        expected = small[0] + hits - 1  # it falls from loop to loop, so those after are small as well
        policy = make(threshold, cap=CAP, hits=hits)
        found, reason = loops(lambda z: rate * z, start_at(1.0, -1.0), policy)
        assert (found, reason) == ((expected, CONVERGED) if expected <= CAP else (CAP, AT_CAP))


@given(angle=st.floats(0.05, 3.1), factor=st.sampled_from([0.5, 0.99, 1.01, 2.0]))
def test_a_rotation_has_steps_of_one_size_and_an_acceleration_that_its_angle_gives(angle, factor):
    """|d| = 2 sin(angle/2) and |d_t - d_t-1| = (2 sin(angle/2))^2 in units of the state, for ever."""
    chord = 2 * math.sin(angle / 2)
    for make, size in ((LatentDifference, chord), (Acceleration, chord**2)):
        policy = make(size * factor, cap=12, hits=2)
        root_mean_square = math.sqrt(0.5)  # of a unit vector in the plane
        found, _ = loops(turn(1.0, angle), start_at(1.0, 0.0) / root_mean_square, policy)
        first = 2 if make is LatentDifference else 3
        assert found == (first if factor > 1 else 12)


def test_period_two_is_never_taken_for_rest():
    for policy in (LatentDifference(1.9, cap=9), Acceleration(3.9, cap=9, hits=1)):
        assert loops(lambda z: -z, start_at(1.0, -1.0), policy) == (9, AT_CAP)


def test_a_straight_drift_has_no_acceleration_though_it_goes_on_for_ever():
    def drift(z):
        return z + 0.5

    assert loops(drift, start_at(1.0, 1.0), Acceleration(1e-6, cap=9)) == (3, CONVERGED)
    assert loops(drift, start_at(1.0, 1.0), LatentDifference(0.49, cap=9)) == (9, AT_CAP)
    # Relative to a state that grows the step shrinks; relative to where the state began it does not.
    assert loops(drift, start_at(1.0, 1.0), LatentDifference(0.19, cap=9, relative=True)) == (4, CONVERGED)
    assert loops(drift, start_at(1.0, 1.0), FixedPoint(0.19, cap=9)) == (9, AT_CAP)


def test_the_relative_latent_difference_is_the_undamped_residual_of_the_fixed_point():
    start = torch.randn(5, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def step(z):
        return torch.tanh(0.9 * z.roll(1, -1) + 0.3)

    for tol in (0.3, 0.05, 0.01):
        mine, trace = solve(step, start, LatentDifference(tol, cap=CAP, relative=True))
        theirs, other = solve(step, start, FixedPoint(tol, cap=CAP, reference="current", patience=0))
        assert torch.equal(mine, theirs) and torch.equal(trace.depth, other.depth)
        assert len(trace.depth.unique()) > 1


def test_a_stop_that_comes_by_luck_is_undone_by_asking_twice():
    """The state stands still once, goes on, and then rests."""
    path = iter([1.0, 0.5, 0.5, 0.1, -0.4, -0.4, -0.4])
    policy = LatentDifference(0.05, cap=7, hits=2)

    def step(z):
        return torch.full_like(z, next(path))

    assert loops(step, start_at(0.0), policy) == (7, CONVERGED)


@pytest.mark.parametrize("make", [LatentDifference, Acceleration])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.0}, "threshold is 0.0, expected a number above 0"),
        ({"hits": 0}, "hits is 0, expected a whole number of loops in a row"),
        ({"cap": 1, "min_loops": 2}, "min_loops is 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


@pytest.mark.parametrize(
    "policy", [LatentDifference(0.2, cap=7, hits=3, relative=True), Acceleration(0.1, min_loops=2)]
)
def test_a_policy_comes_back_from_its_description(policy):
    assert as_policy(to_dict(policy)) == policy


@pytest.mark.parametrize("make", [LatentDifference, Acceleration])
def test_no_loop_before_the_fewest_is_the_last(make):
    assert loops(lambda z: z, start_at(1.0), make(0.1, cap=9, min_loops=5)) == (5, CONVERGED)
