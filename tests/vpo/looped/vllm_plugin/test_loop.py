"""The loop over a step of vLLM, without vLLM: the same rules as the loop of transformers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.looped.depth.analytic_core import solve
from vpo.looped import ACT, Acceleration, FixedDepth, FixedPoint, LatentDifference, LearnedGate
from vpo.looped.scale import build_scale_control
from vpo.looped.vllm_plugin.loop import StepParts, run_loop

POLICIES = [
    FixedPoint(tol=0.2, cap=7),
    LatentDifference(0.2, cap=7),
    Acceleration(0.2, cap=7),
    LearnedGate(0.5, cap=7),
    ACT(cap=7),
    FixedDepth(4),
]


def parts(step, early: bool = True, gate=None, scale: str = "none") -> StepParts:
    return StepParts(
        core=lambda entering, index, active: step(entering),
        inject=lambda state, signal: state,
        scale=build_scale_control(scale, 1),
        gate=gate,
        may_end_early=early,
    )


@settings(max_examples=30)
@given(
    rate=st.floats(-0.95, 0.95),
    tol=st.floats(0.01, 0.5),
    patience=st.integers(0, 2),
    min_loops=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_depths_states_and_damping_are_those_of_the_other_loop(rate, tol, patience, min_loops, seed):
    """On linear cores: contraction, and oscillation that is damped."""
    start = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(seed)) * torch.logspace(-2, 1, 6)[:, None]
    policy = FixedPoint(tol=tol, cap=9, patience=patience, min_loops=min_loops)

    def step(state):
        return rate * state + 1

    theirs, trace = solve(step, start, policy)
    ours, record, passes = run_loop(parts(step), start[0], policy)
    assert torch.equal(record.depth, trace.depth) and torch.equal(record.damping, trace.damping)
    assert torch.equal(record.reason, trace.reason)
    torch.testing.assert_close(ours[None], theirs)
    torch.testing.assert_close(record.residual, trace.residual)
    assert passes == int(trace.depth.max())


@pytest.mark.parametrize("policy", POLICIES)
def test_going_on_after_the_last_token_has_stopped_changes_nothing(policy):
    start = torch.logspace(-3, 2, 8)[:, None].repeat(1, 3)

    def gate(state):
        return state.mean(-1) - 1

    def step(state):
        return 0.5 * state + 1

    short, record, passes = run_loop(parts(step, True, gate), start, policy)
    long, same, all_passes = run_loop(parts(step, False, gate), start, policy)
    assert torch.equal(short, long) and torch.equal(record.depth, same.depth)
    assert all_passes == policy.cap and passes == int(record.depth.max())


def test_a_token_does_not_depend_on_what_stands_beside_it():
    start = torch.logspace(-3, 2, 8)[:, None].repeat(1, 3)
    policy = FixedPoint(tol=0.2, cap=7)
    together, record, _ = run_loop(parts(lambda z: 0.5 * z + 1), start, policy)
    assert len(set(record.depth[0].tolist())) > 2
    for place in range(8):
        alone, own, _ = run_loop(parts(lambda z: 0.5 * z + 1), start[place : place + 1], policy)
        assert torch.equal(alone[0], together[place]) and own.depth[0, 0] == record.depth[0, place]


def test_scale_is_matched_to_the_first_pass():
    state, _, _ = run_loop(parts(lambda z: 3 * z, scale="match"), torch.ones(2, 4), FixedDepth(3))
    torch.testing.assert_close(state, torch.full((2, 4), 3.0))
