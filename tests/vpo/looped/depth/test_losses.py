"""The losses of learned halting against their definitions in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vpo.looped.depth.losses import (
    exit_distribution,
    expected_loss,
    gate_entropy,
    improvement_loss,
    ponder_cost,
    pondering_loss,
)


def gates(loops, seed=0, scale=2.0):
    return scale * torch.randn(loops, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


ALL = torch.ones(2, 3, dtype=torch.bool)


@given(loops=st.integers(1, 6), seed=st.integers(0, 100), scale=st.floats(0.1, 30.0))
def test_the_exit_distribution_is_the_chain_of_decisions(loops, seed, scale):
    logits = gates(loops, seed, scale)
    share = exit_distribution(logits)
    assert torch.allclose(share.sum(0), torch.ones(2, 3, dtype=torch.float64))
    halt, left = torch.sigmoid(logits), torch.ones(2, 3, dtype=torch.float64)
    for t in range(loops):
        expected = left if t == loops - 1 else left * halt[t]
        assert torch.allclose(share[t], expected, atol=1e-12)
        left = left * (1 - halt[t])


def test_the_expected_loss_by_hand():
    """Two loops, leaving after the first with probability 1/4: .25 * 2 + .75 * 1 - beta * H(.25)."""
    logits = torch.full((2, 1, 1), math.log(1 / 3))
    losses = torch.tensor([2.0, 1.0]).view(2, 1, 1)
    mask = torch.ones(1, 1)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert expected_loss(losses, logits, mask, beta=0.1).item() == pytest.approx(1.25 - 0.1 * entropy, rel=1e-6)


def test_only_tokens_of_the_mask_count():
    logits, losses = gates(3), gates(3, 1).abs()
    mask = torch.tensor([[True, False, True], [False, False, False]])
    changed = losses.clone()
    changed[:, ~mask] = 1e6
    for loss in (expected_loss, improvement_loss, pondering_loss):
        assert loss(losses, logits, mask) == loss(changed, logits, mask)
    assert torch.isfinite(expected_loss(losses, logits, torch.zeros(2, 3)))


def test_without_entropy_the_best_gate_leaves_at_the_best_loop():
    losses = torch.tensor([3.0, 1.0, 2.0]).view(3, 1, 1)
    logits = torch.zeros(3, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        expected_loss(losses, logits, torch.ones(1, 1), beta=0.0).backward()
        optimizer.step()
    assert exit_distribution(logits.detach())[1].item() > 0.99


def test_the_gate_learns_to_go_on_while_a_loop_helps():
    """Improvement by loop: 1, 0, .5; so it should go on after loop 1, stop after 2, and go on after 3."""
    losses = torch.tensor([2.0, 1.0, 1.0, 0.5]).view(4, 1, 1)
    logits = torch.zeros(4, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(300):
        optimizer.zero_grad()
        improvement_loss(losses, logits, torch.ones(1, 1)).backward()
        optimizer.step()
    halt = torch.sigmoid(logits.detach()).flatten()
    assert halt[0] < 0.05
    assert halt[1] == pytest.approx(1 - 1 / (1 + math.exp(50 * 0.005)), abs=0.02)  # no gain at all: .56
    assert halt[2] < 0.05
    assert halt[3] == 0.5  # nothing comes after it


def test_gate_entropy_and_ponder_cost_by_hand():
    assert gate_entropy(torch.zeros(4, 2, 3), ALL).item() == pytest.approx(math.log(2))
    assert gate_entropy(torch.full((4, 2, 3), 50.0), ALL).item() == pytest.approx(0.0, abs=1e-9)
    depths, rest = torch.tensor([[1, 3]]), torch.tensor([[1.0, 0.25]], requires_grad=True)
    cost = ponder_cost(depths, rest, torch.ones(1, 2))
    assert cost.item() == pytest.approx((2.0 + 3.25) / 2)
    cost.backward()
    assert rest.grad.tolist() == [[0.5, 0.5]]


@given(loops=st.integers(1, 6), seed=st.integers(0, 100), prior=st.floats(0.05, 0.95), beta=st.floats(0.0, 1.0))
def test_the_pondering_loss_is_its_definition_in_plain_loops(loops, seed, prior, beta):
    logits, losses = gates(loops, seed), gates(loops, seed + 1).abs()
    share = exit_distribution(logits)
    weights = [prior * (1 - prior) ** t for t in range(loops)]
    expected = 0.0
    for place in [(b, t) for b in range(2) for t in range(3)]:
        for loop in range(loops):
            p = share[loop][place].item()
            expected += p * losses[loop][place].item() + beta * p * math.log(p / (weights[loop] / sum(weights)))
    assert pondering_loss(losses, logits, ALL, beta, prior).item() == pytest.approx(expected / 6, rel=1e-6)


def test_a_gate_that_only_follows_the_prior_leaves_with_its_chance():
    logits = torch.zeros(40, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(300):
        optimizer.zero_grad()
        pondering_loss(torch.zeros(40, 1, 1), logits, torch.ones(1, 1), beta=1.0, prior=0.3).backward()
        optimizer.step()
    assert torch.sigmoid(logits[:5]).flatten().tolist() == pytest.approx([0.3] * 5, abs=0.01)


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_a_prior_that_is_no_chance_is_refused(prior):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        pondering_loss(gates(2), gates(2), ALL, prior=prior)
