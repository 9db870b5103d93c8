"""Learned halting: exits where the gate says, ACT's average by hand, and the gate trainers teach something."""

from __future__ import annotations

import pytest
import torch

from tests.vpo.looped.tiny_looped import build, tokens
from vpo.looped import ACT, FixedDepth, LearnedGate


def read_gates(model, ids, cap):
    out = model(ids, num_loops=cap, use_cache=False, output_loop_states=True)
    return torch.sigmoid(torch.stack(out.loop_gate_logits))


@torch.no_grad()
def test_the_first_token_leaves_when_its_exit_mass_reaches_the_threshold():
    """A first token sees nobody else, so its gates at fixed depth are those that it decides by."""
    model, ids = build(halt_gate=True).double(), tokens(8, 1)
    halt = read_gates(model, ids, 6)[:, :, 0]
    mass = 1 - (1 - halt).cumprod(0)
    for threshold in (0.3, 0.6, 0.9):
        depth = model(ids, depth_policy=LearnedGate(threshold, cap=6), use_cache=False).loop_depths[:, 0]
        expected = [next((t + 1 for t in range(6) if mass[t, row] >= threshold), 6) for row in range(8)]
        assert depth.tolist() == expected
        depth = model(ids, depth_policy=LearnedGate(threshold, cap=6, rule="sigmoid"), use_cache=False).loop_depths
        assert depth[:, 0].tolist() == [
            next((t + 1 for t in range(6) if halt[t, row] >= threshold), 6) for row in range(8)
        ]


@torch.no_grad()
def test_act_answers_with_the_mean_of_its_states():
    model, ids = build(halt_gate=True).double(), tokens(8, 1)
    halt = read_gates(model, ids, 5)[:, :, 0]
    loop, _ = model.model.begin(ids, use_cache=False, policy=FixedDepth(5))
    from vpo.looped.lockstep import Lockstep

    states: list[torch.Tensor] = []
    loop.run(Lockstep(False, ids.device), states)
    out = model(ids, depth_policy=ACT(cap=5, epsilon=0.05), use_cache=False)
    for row in range(8):
        mass, mean = 0.0, torch.zeros(32, dtype=torch.float64)
        for t in range(5):
            is_last = t == 4 or mass + halt[t, row] >= 0.95
            share = 1 - mass if is_last else halt[t, row]
            mean = mean + share * states[t][row, 0]
            if is_last:
                assert out.loop_depths[row, 0] == t + 1
                assert out.loop_remainders[row, 0].item() == pytest.approx(float(1 - mass))
                break
            mass = mass + halt[t, row]
        hidden = model.model.layers[3](
            mean[None, None], position_embeddings=model.model.rotary_emb(mean[None, None], torch.zeros(1, 1).long())
        )
        assert torch.allclose(model.lm_head(model.model.norm(hidden))[0], out.logits[row], atol=1e-10)


@torch.no_grad()
def test_fewest_loops_are_kept():
    model, ids = build(halt_gate=True), tokens(8, 5)
    torch.nn.init.constant_(model.model.halt_gate.bias, 20.0)  # a gate that always says stop
    torch.nn.init.zeros_(model.model.halt_gate.weight)
    for policy in (LearnedGate(cap=5), LearnedGate(cap=5, rule="sigmoid"), ACT(cap=5)):
        assert model(ids, depth_policy=policy).loop_depths.eq(1).all()
        later = type(policy)(**{**policy.__dict__, "min_loops": 3})
        assert model(ids, depth_policy=later).loop_depths.eq(3).all()


def test_acts_ponder_cost_reaches_the_gate():
    model, ids = build(halt_gate=True).train(), tokens(3, 6)
    out = model(ids, depth_policy=ACT(cap=5), use_cache=False)
    out.loop_remainders.sum().backward()
    assert model.model.halt_gate.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearnedGate(threshold=1.0), "threshold is 1.0, expected a probability"),
        (lambda: LearnedGate(rule="coin"), "rule is 'coin', expected 'cdf' or 'sigmoid'"),
        (lambda: LearnedGate(cap=1, min_loops=2), "min_loops is 2 and cap is 1"),
        (lambda: ACT(epsilon=0.0), "epsilon is 0.0"),
        (lambda: ACT(cap=0), "cap is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
