from __future__ import annotations

import pytest
import torch

from tests.vpo.looped.world.test_training import new_model, rotation, train, weights
from vpo.looped.depth import FixedDepth, FixedPoint, LearnedGate
from vpo.looped.world import LoopedWorldModel, TrainingPlan, choose_tolerance, fit_gate, gate_loss

PLAN = TrainingPlan(updates=25, batch_size=16, lr=0.1, warmup=2, seed=1)


@pytest.fixture(scope="module")
def trained() -> LoopedWorldModel:
    model = new_model()
    train(model, rotation(), TrainingPlan(updates=40, batch_size=16, lr=2e-2, warmup=5))
    return model


def copy_of(model: LoopedWorldModel) -> LoopedWorldModel:
    other = new_model()
    other.load_state_dict(model.state_dict())
    return other.eval()


def test_the_gate_loss_is_the_expected_loss_and_price() -> None:
    """Two loops, halting with 1/4 after the first: 1/4 (3/2 + c) + 3/4 (2/2 + 2c), less the entropy of two gates."""
    losses, logits = torch.tensor([3.0, 2.0]).view(2, 1, 1), torch.tensor([1 / 3, 1.0]).log().view(2, 1, 1)
    entropy = -(0.25 * torch.tensor(0.25).log() + 0.75 * torch.tensor(0.75).log()) / 2 + torch.tensor(2.0).log() / 2
    found = gate_loss(losses, logits, torch.ones(1, 1, dtype=torch.bool), loop_cost=0.1, entropy=0.3)
    assert found.item() == pytest.approx(0.25 * (1.5 + 0.1) + 0.75 * (1.0 + 0.2) - 0.3 * entropy.item())


def test_the_gate_alone_is_taught_and_dear_loops_are_run_less(trained: LoopedWorldModel) -> None:
    data, depths = rotation(), []
    for cost in (0.0, 1.0):
        model = copy_of(trained)
        before = weights(model)
        fit_gate(model, data, PLAN, loop_cost=cost, entropy=0.0)
        moved = torch.cat(
            [torch.full_like(each, "halt_gate" in name).flatten() for name, each in model.named_parameters()]
        ).bool()
        assert torch.equal(weights(model)[~moved], before[~moved]) and (weights(model) != before)[moved].any()
        depths.append(model.rollout(data.observations[:, 0], data.actions, depth_policy=LearnedGate(0.5, cap=4)).depths)
    assert depths[1].double().mean() < depths[0].double().mean()


def test_entropy_keeps_the_gate_from_saturating(trained: LoopedWorldModel) -> None:
    sizes = []
    for entropy in (0.0, 3.0):
        model = copy_of(trained)
        eager = TrainingPlan(**{**vars(PLAN), "lr": 0.5})  # a rate at which a gate saturates at once
        fit_gate(model, rotation(), eager, loop_cost=1.0, entropy=entropy)
        state = torch.randn(200, 1, 8, generator=torch.Generator().manual_seed(0))
        sizes.append(model.core.gate(state).abs().mean().item())
    assert sizes[1] < 0.5 * sizes[0]


def test_the_tolerance_is_the_loosest_that_keeps_the_loss(trained: LoopedWorldModel) -> None:
    data = rotation()
    targets = (data.observations, data.actions, data.rewards, data.continues, data.mask, torch.zeros_like(data.mask))
    tolerances = (10.0, 1.0, 0.3, 0.1, 0.03, 0.001)
    with torch.no_grad():
        limit = 1.02 * trained(*targets, depth_policy=FixedDepth(4)).loss
        losses = [trained(*targets, depth_policy=FixedPoint(tol, cap=4, patience=0)).loss for tol in tolerances]
    expected = next(tol for tol, loss in zip(tolerances, losses, strict=True) if loss <= limit)
    chosen = choose_tolerance(trained, data, tolerances=tolerances)
    assert chosen == FixedPoint(tol=expected, cap=4, patience=0)
    assert choose_tolerance(trained, data, slack=1e9, tolerances=tolerances).tol == 10.0
