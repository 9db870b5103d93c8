"""Halting at a fixed point on maps whose convergence is known on paper."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.vpo.looped.depth.analytic_core import solve
from vpo.looped import FixedPoint, HaltReason, Replay

TARGET = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)


def towards(target, factor):
    """z <- target + factor * (z - target): distance to the fixed point shrinks by ``factor`` a loop."""
    return lambda z: target + factor * (z - target)


def start(*scales, tokens=1):
    """Tokens at ``scale * TARGET``."""
    return torch.stack([scale * TARGET for scale in scales]).view(-1, tokens, 4)


@given(factor=st.floats(0.2, 0.9), tol=st.floats(0.01, 0.3), norm=st.sampled_from(["rms", "max"]))
@settings(max_examples=60, deadline=None)
def test_a_contraction_takes_the_loops_that_it_takes_on_paper(factor, tol, norm):
    """From 2z*, loop t changes the state by factor^(t-1) (1 - factor) |z*|; the smallest state so far is the new one.

    Its size is (1 + factor^t) |z*|, so the residual is factor^(t-1) (1 - factor) / (1 + factor^t).
    """
    assume(all(abs(factor ** (t - 1) * (1 - factor) / (1 + factor**t) / tol - 1) > 1e-5 for t in range(1, 61)))
    _, trace = solve(towards(TARGET, factor), start(2.0), FixedPoint(tol=tol, cap=60, patience=0, norm=norm))
    expected = next(t for t in range(1, 61) if factor ** (t - 1) * (1 - factor) / (1 + factor**t) < tol)
    assert trace.depth.item() == expected
    assert trace.reason.item() == HaltReason.CONVERGED
    residual = factor ** (expected - 1) * (1 - factor) / (1 + factor**expected)
    assert trace.residual.item() == pytest.approx(residual, rel=1e-4)


def test_every_token_stops_by_itself():
    fast, slow = 0.1, 0.8
    factors = torch.tensor([fast, slow, slow, fast], dtype=torch.float64)[:, None].view(2, 2, 1)
    state, trace = solve(
        lambda z: TARGET + factors * (z - TARGET),
        start(2.0, 2.0, 2.0, 2.0, tokens=2),
        FixedPoint(tol=0.05, cap=40, patience=0),
    )
    assert trace.depth[0, 0] == trace.depth[1, 1] == 3
    assert trace.depth[0, 1] == trace.depth[1, 0] == 7  # .8^6 .2 / (1 + .8^7) = .043, and .052 a loop before
    assert torch.allclose(state[0, 0], TARGET + fast**3 * TARGET)  # frozen where it stopped
    assert torch.allclose(state[0, 1], TARGET + slow**7 * TARGET)


def test_fewest_and_most_loops_are_kept():
    _, trace = solve(towards(TARGET, 0.01), start(2.0), FixedPoint(tol=0.1, cap=9, min_loops=5))
    assert (trace.depth.item(), trace.reason.item()) == (5, HaltReason.CONVERGED)
    _, trace = solve(towards(TARGET, 0.99), start(200.0), FixedPoint(tol=1e-3, cap=7, patience=0))
    assert (trace.depth.item(), trace.reason.item()) == (7, HaltReason.CAP)
    assert trace.residual.item() > 1e-3


@pytest.mark.parametrize("eigenvalue", [-0.95, -1.0, -1.05])
def test_an_oscillator_fails_undamped_and_settles_damped(eigenvalue):
    step = towards(TARGET, eigenvalue)
    _, undamped = solve(step, start(3.0), FixedPoint(tol=0.05, cap=30, patience=0))
    assert undamped.reason.item() == HaltReason.CAP
    for policy in (
        FixedPoint(tol=0.05, cap=30, patience=0, step_size=0.5),
        FixedPoint(tol=0.05, cap=63, patience=1, damping=0.7),
    ):
        if eigenvalue == -0.95 and policy.patience:
            continue  # its residual falls at every loop, if slowly: nothing asks for damping
        state, damped = solve(step, start(3.0), policy)
        assert damped.reason.item() == HaltReason.CONVERGED
        assert torch.allclose(state, TARGET.expand_as(state), rtol=0.1)


def test_a_growing_spiral_fails_undamped_and_settles_damped():
    """A complex pair of modulus 1.1 and real part below 1: FPRM's theorem 3 promises a step size that converges."""
    angle, modulus = 2.0, 1.1
    turn = modulus * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn, target = turn.double(), torch.tensor([1.0, 2.0], dtype=torch.float64)
    begin = (target + torch.tensor([0.5, 0.0]))[None, None]

    def step(z):
        return target + (z - target) @ turn.T

    state, undamped = solve(step, begin, FixedPoint(tol=0.02, cap=60, patience=0))
    assert undamped.reason.item() == HaltReason.CAP
    assert (state - target).norm() > 50
    state, damped = solve(step, begin, FixedPoint(tol=0.02, cap=63, patience=1, damping=0.6))
    assert damped.reason.item() == HaltReason.CONVERGED
    assert (state - target).norm() < 0.1
    assert damped.damping.item() > 0


def test_a_state_that_keeps_growing_is_not_taken_for_settled():
    """z_t = (1 + t) v: relative to itself the change falls like 1/t, and FPRM's formula stops. Ours does not."""
    drift = TARGET.clone()
    policy = FixedPoint(tol=0.051, cap=60, patience=0)
    _, ours = solve(lambda z: z + drift, start(1.0), policy)
    assert ours.reason.item() == HaltReason.CAP
    _, theirs = solve(lambda z: z + drift, start(1.0), FixedPoint(tol=0.051, cap=60, patience=0, reference="current"))
    assert theirs.reason.item() == HaltReason.CONVERGED
    assert theirs.depth.item() == 19  # the first t with 1 / (1 + t) < 0.051
    _, damped = solve(lambda z: z + drift, start(1.0), FixedPoint(tol=0.05, cap=60, patience=2, damping=0.5))
    assert damped.reason.item() != HaltReason.CONVERGED  # a smaller step is not a smaller residual


def test_a_state_that_legitimately_grows_and_then_settles_converges():
    _, trace = solve(towards(TARGET, 0.5), start(0.01), FixedPoint(tol=0.05, cap=40, patience=0))
    assert trace.reason.item() == HaltReason.CONVERGED


def test_a_spent_step_size_is_reported():
    policy = FixedPoint(tol=1e-9, cap=60, patience=1, damping=0.1, floor=0.05)
    _, trace = solve(towards(TARGET, -1.5), start(2.0), policy)
    assert trace.reason.item() == HaltReason.DAMPING_FLOOR
    # Undamped at first, then at 0.1; the next reduction falls below the floor.
    assert bin(trace.damping.item()).count("1") == 2


@given(eigenvalue=st.floats(-1.6, 0.9), patience=st.integers(1, 3), damping=st.floats(0.3, 0.95))
@settings(max_examples=60, deadline=None)
def test_a_damped_run_is_replayed_to_the_last_bit(eigenvalue, patience, damping):
    policy = FixedPoint(tol=0.02, cap=40, patience=patience, damping=damping)
    state, trace = solve(towards(TARGET, eigenvalue), start(3.0, 1.01), policy)
    again, replayed = solve(towards(TARGET, eigenvalue), start(3.0, 1.01), Replay.of(trace))
    assert torch.equal(state, again)
    assert torch.equal(trace.depth, replayed.depth)
    assert torch.equal(trace.damping, replayed.damping)


def test_in_prefix_scope_nobody_stops_before_its_left_neighbour():
    """Token 1 would be done after two loops; in a computation that flows to the right it waits for token 0."""
    factors = torch.tensor([0.8, 0.01, 0.5], dtype=torch.float64).view(1, 3, 1)

    def step(z):
        return TARGET + factors * (z - TARGET)

    policy = {"tol": 0.05, "cap": 40, "patience": 0}
    begin = start(2.0, 2.0, 2.0, tokens=3)
    _, alone = solve(step, begin, FixedPoint(**policy))
    assert alone.depth.tolist() == [[7, 2, 5]]
    _, prefix = solve(step, begin, FixedPoint(**policy, scope="prefix"))
    assert prefix.depth.tolist() == [[7, 7, 7]]
    real = torch.tensor([[False, True, True]])  # padding keeps nobody waiting
    _, padded = solve(step, begin, FixedPoint(**policy, scope="prefix"), real)
    assert padded.depth.tolist() == [[1, 2, 5]]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"tol": 0.0}, "tol is 0.0, expected a number above 0"),
        ({"tol": -1.0}, "tol is -1.0"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"cap": 0}, "cap is 0, expected a whole number"),
        ({"cap": 2, "min_loops": 3}, "min_loops is 3 and cap is 2, expected 1 <= min_loops <= cap"),
        ({"min_loops": 0}, "min_loops is 0"),
        ({"norm": "l7"}, "norm is 'l7', expected one of rms, max"),
        ({"scope": "batch"}, "scope is 'batch'"),
        ({"reference": "none"}, "reference is 'none'"),
        ({"patience": -1}, "patience is -1"),
        ({"damping": 1.0}, "damping is 1.0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"step_size": 5e-4}, "floor is 0.001 and step_size 0.0005, expected 0 < floor < step_size"),
        ({"floor": -1.0}, "floor is -1.0"),
        ({"cap": 100}, "Set patience=0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings_, message):
    with pytest.raises(ValueError, match=message):
        FixedPoint(**settings_)


def test_a_spent_step_size_waits_for_the_fewest_loops_and_for_its_left_neighbours():
    spent = {"tol": 1e-9, "cap": 30, "patience": 1, "damping": 0.1, "floor": 0.05}
    _, trace = solve(towards(TARGET, -1.5), start(2.0), FixedPoint(**spent, min_loops=9))
    assert trace.depth.item() == 9
    factors = torch.tensor([0.8, -1.5], dtype=torch.float64).view(1, 2, 1)
    begin = start(2.0, 2.0, tokens=2)
    policy = {**spent, "tol": 0.05, "floor": 1e-3, "damping": 0.05}
    _, alone = solve(lambda z: TARGET + factors * (z - TARGET), begin, FixedPoint(**policy))
    _, prefix = solve(lambda z: TARGET + factors * (z - TARGET), begin, FixedPoint(**policy, scope="prefix"))
    assert alone.depth[0, 1] < alone.depth[0, 0]
    assert prefix.depth[0, 1] >= prefix.depth[0, 0] == alone.depth[0, 0]
    assert alone.reason[0, 1] == prefix.reason[0, 1] == HaltReason.DAMPING_FLOOR
