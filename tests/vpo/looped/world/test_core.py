from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vpo.looped.depth import FixedDepth, FixedPoint, HaltReason, LearnedGate, RandomDepth, Replay
from vpo.looped.world import WorldModelConfig
from vpo.looped.world.core import LoopedCore

WIDTH = 4


def core_of(injection: str = "gate", retention: float = 0.5, silent: bool = True, **settings: int) -> LoopedCore:
    """A core in double precision; a silent one does nothing but the injection."""
    torch.manual_seed(0)
    config = WorldModelConfig(hidden_size=WIDTH, injection=injection, retention_init=retention, **settings)
    core = LoopedCore(config).double()
    core.injection.reset_parameters()
    core.halt_gate.reset_parameters()
    if silent:
        for block in core.layers:
            nn.init.zeros_(block.narrow.weight)
            nn.init.zeros_(block.narrow.bias)
    return core


def inputs(batch: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    state, observation = torch.zeros(batch, 1, WIDTH).double(), torch.randn(batch, 1, WIDTH).double()
    return state, observation, torch.randn(batch, WIDTH).double(), torch.ones(batch, dtype=torch.bool)


@pytest.mark.parametrize(("retention", "tol"), [(0.5, 0.1), (0.5, 0.01), (0.8, 0.03), (0.2, 0.003)])
def test_fixed_point_halting_takes_as_many_loops_as_a_linear_core_needs(retention: float, tol: float) -> None:
    """From 0, ``h_t = (1 - g^t) e``: pass t changes it by ``g^(t-1) (1 - g) e``; the smallest state is the first."""
    expected = next(t for t in range(1, 99) if retention ** (t - 1) < tol or t == 98)
    out = core_of(retention=retention)(*inputs(), FixedPoint(tol=tol, cap=60, patience=0))
    assert out.depth.tolist() == [expected] * 3
    assert (out.reason == HaltReason.CONVERGED).all()
    assert torch.allclose(out.residual.double(), torch.tensor(retention ** (expected - 1)).double(), rtol=1e-2)


@pytest.mark.parametrize(("bias", "threshold"), [(-2.0, 0.5), (-1.0, 0.9), (1.0, 0.5)])
def test_a_gate_that_is_constant_stops_when_its_mass_is_spent(bias: float, threshold: float) -> None:
    core = core_of()
    nn.init.constant_(core.halt_gate.bias, bias)
    halt = 1 / (1 + math.exp(-bias))
    expected = math.ceil(math.log(1 - threshold) / math.log(1 - halt))
    assert core(*inputs(), LearnedGate(threshold, cap=60)).depth.tolist() == [expected] * 3


def test_prescribed_depths_are_run_and_no_pass_more() -> None:
    core, passes = core_of(silent=False), []
    core._layers = lambda state, layers=core._layers: passes.append(len(state)) or layers(state)
    out = core(*inputs(), Replay(torch.tensor([[2], [5], [1]])))
    assert out.depth.tolist() == [2, 5, 1]
    assert passes == [3, 2, 1, 1, 1]
    for row, depth in enumerate((2, 5, 1)):
        alone = core(*(each[row : row + 1] for each in inputs()), FixedDepth(depth))
        assert torch.allclose(out.state[row], alone.state[0], atol=1e-12)


def test_padding_runs_one_loop_and_changes_nobody_else() -> None:
    core, (state, observation, action, _) = core_of(silent=False), inputs()
    policy = FixedPoint(tol=1e-3, cap=20, patience=0)
    out = core(state, observation, action, torch.tensor([True, False, True]), policy)
    whole = core(state, observation, action, torch.ones(3, dtype=torch.bool), policy)
    assert out.depth[1] == 1
    assert torch.allclose(out.state[[0, 2]], whole.state[[0, 2]])
    assert out.depth[[0, 2]].tolist() == whole.depth[[0, 2]].tolist()


def gradients(core: LoopedCore, policy: object) -> dict[str, Tensor]:
    core.zero_grad()
    torch.manual_seed(5)
    core(*inputs(), policy).output.square().sum().backward()
    return {name: each.grad.clone() for name, each in core.named_parameters() if each.grad is not None}


def test_truncated_backpropagation_is_the_full_one_when_the_window_covers_all_loops() -> None:
    core = core_of(silent=False)
    full = gradients(core, RandomDepth(1, 6))
    covered, cut = gradients(core, RandomDepth(1, 6, grad_loops=6)), gradients(core, RandomDepth(1, 6, grad_loops=1))
    assert full.keys() == covered.keys() == cut.keys()
    assert all(torch.allclose(full[name], covered[name]) for name in full)
    assert not torch.allclose(full["layers.0.widen.weight"], cut["layers.0.widen.weight"])


def test_the_truncated_gradient_is_that_of_the_last_loops_from_a_detached_state() -> None:
    core, (state, observation, action, _) = core_of(silent=False), inputs()
    policy = Replay(torch.full((3, 1), 5))
    truncated = gradients(core, _Truncated(policy, 2))
    core.zero_grad()
    signal = core.signal(state, observation, action)
    with torch.no_grad():
        for _ in range(3):
            state = core.loop(state, signal)
    for _ in range(2):
        state = core.loop(state, signal)
    core.read(state).square().sum().backward()
    by_hand = {name: each.grad for name, each in core.named_parameters() if each.grad is not None}
    assert truncated.keys() == by_hand.keys()
    assert all(torch.allclose(truncated[name], by_hand[name], atol=1e-12) for name in by_hand)


class _Truncated:
    """A record whose first loops have no gradient."""

    kind = "truncated"

    def __init__(self, record: Replay, grad_loops: int) -> None:
        self.record, self.grad_loops, self.cap = record, grad_loops, record.cap

    def start(self, call: object) -> object:
        halter = self.record.start(call)
        halter.gradient_from = halter.planned - self.grad_loops
        return halter


def test_the_signal_knows_the_state_of_the_step_before() -> None:
    core, (state, observation, action, _) = core_of(), inputs()
    assert not torch.allclose(core.signal(state, observation, action), core.signal(state + 1, observation, action))


def test_a_poisson_depth_has_the_mean_that_was_asked_for() -> None:
    config = WorldModelConfig(mean_loops=4, max_loops=16)
    torch.manual_seed(0)
    drawn = config.training_depth.draw(20_000, torch.device("cpu")).double()
    assert drawn.mean() == pytest.approx(4, abs=0.05)  # standard error 0.012
    assert drawn.var() == pytest.approx(3, abs=0.15)  # of 1 + Poisson(3)
    assert config.training_depth.grad_loops == config.grad_loops == 2
