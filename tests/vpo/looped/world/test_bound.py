from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vpo.looped.stability import spectral_norm
from vpo.looped.world import LoopedWorldModel, WorldModelConfig, state_bound

GRID = (2, 3, 3)


def shaken(shape: tuple[int, ...], injection: str, scale: float, seed: int) -> LoopedWorldModel:
    """A model whose weights are anything: what holds for it cannot be owed to how it was initialised or trained."""
    torch.manual_seed(seed)
    config = WorldModelConfig(observation_shape=shape, num_actions=3, hidden_size=6, injection=injection, core_layers=2)
    model = LoopedWorldModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def norms(model: LoopedWorldModel, steps: int, size: float) -> Tensor:
    """(B, T) norm of the state after each step of a rollout through absurd observations."""
    shape = model.config.observation_shape
    observations = size * torch.randn(3, steps, *shape, dtype=torch.float64)
    out = model(observations, torch.randint(3, (3, steps)))
    return out.state_norms


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["diagonal", "gate"]),
    st.sampled_from([(3,), GRID]),
    st.floats(0.0, 4.0),
    st.floats(-3.0, 3.0),
    st.integers(0, 99),
)
def test_no_rollout_leaves_the_bound(
    injection: str, shape: tuple[int, ...], scale: float, size: float, seed: int
) -> None:
    model = shaken(shape, injection, scale, seed)
    bound = state_bound(model)
    assert 0 < bound.retention < 1
    with torch.no_grad():
        assert norms(model, 12, 10.0**size).max() <= bound.limit * (1 + 1e-9)


@pytest.mark.parametrize("value", [-200.0, -3.0, 0.0, 3.0, 200.0])
def test_retention_is_between_zero_and_one_whatever_its_parameters(value: float) -> None:
    core = LoopedWorldModel(WorldModelConfig(hidden_size=4)).core
    with torch.no_grad():
        for name, parameter in core.injection.named_parameters():
            if name != "input":
                parameter.fill_(value)
    kept = core.injection.retention
    assert ((kept >= 0) & (kept < 1)).all()
    assert state_bound(core).retention < 1


def test_a_start_far_outside_is_forgotten_at_the_retention() -> None:
    """With the core silenced a loop is linear, ``h <- A h + (1 - A) e``: its distance to ``e`` is known exactly."""
    torch.manual_seed(0)
    core = LoopedWorldModel(WorldModelConfig(hidden_size=5, retention_init=0.7)).double().core
    with torch.no_grad():
        nn.init.zeros_(core.layers[0].narrow.weight)
        core.injection.raw_step.copy_(torch.linspace(-2, 2, 5))
    signal, state = torch.randn(2, 1, 5, dtype=torch.float64), 1e3 * torch.randn(2, 1, 5, dtype=torch.float64)
    start, kept = state - signal, core.injection.retention
    for loops in range(1, 30):
        state = core.loop(state, signal)
        assert torch.allclose(state - signal, kept**loops * start, rtol=1e-9, atol=1e-9)


def test_a_loop_that_only_adds_has_no_bound_and_grows() -> None:
    torch.manual_seed(1)
    model = LoopedWorldModel(WorldModelConfig(hidden_size=6, injection="add", num_actions=3)).double().eval()
    assert state_bound(model).limit == float("inf")
    with torch.no_grad():
        grown = norms(model, 60, 1.0)
    assert (grown[:, -1] > 3 * grown[:, 5]).all()


def test_the_bound_says_nothing_of_contraction() -> None:
    """The limit that the guide states: with every channel of A at a half, a loop may still tear states apart."""
    model = shaken((3,), "gate", 0.0, 0)
    with torch.no_grad():
        for layer in (model.core.layers[0].widen, model.core.layers[0].narrow):
            layer.weight.mul_(30.0)
    signal = torch.randn(1, 1, 6, dtype=torch.float64)
    stretch = spectral_norm(lambda state: model.core.loop(state, signal), 0.1 * torch.randn_like(signal))
    assert state_bound(model).retention == pytest.approx(0.5, abs=1e-3)
    assert stretch.value > 2
