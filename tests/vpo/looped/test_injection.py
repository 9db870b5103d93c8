"""Injection, retention and scale control: what happens to the state between two loops."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
)

from tests.vpo.looped.tiny_looped import INJECTIONS, SIZES, build, tokens
from vpo.looped import (
    FixedDepth,
    FixedPoint,
    LoopedConfig,
    LoopedForCausalLM,
    Replay,
)
from vpo.looped.depth import Halter, LoopCall
from vpo.looped.lockstep import Lockstep


@torch.no_grad()
def test_a_closed_gate_makes_every_loop_count_equal_to_one_loop():
    model, ids = build(), tokens(2, 7)
    torch.nn.init.constant_(model.model.injection.logit, -60.0)
    assert torch.allclose(model(ids, num_loops=4).logits, model(ids, num_loops=1).logits, atol=1e-5, rtol=0)


def test_retention_stays_strictly_between_zero_and_one_and_starts_where_it_was_set():
    model = LoopedForCausalLM(LoopedConfig(layer_config=LlamaConfig(**SIZES), retention_init=0.2))
    assert torch.allclose(model.model.injection.retention, torch.full((32,), 0.2))
    torch.nn.init.constant_(model.model.injection.logit, 10.0)
    assert (model.model.injection.retention < 1).all()


@pytest.mark.parametrize("injection", INJECTIONS)
@torch.no_grad()
def test_one_loop_is_the_plain_stack_under_every_injection(injection):
    model, ids = build(injection=injection, scale_control="match"), tokens(2, 7)
    plain = AutoModelForCausalLM.from_config(model.config.layer_config).eval()
    plain.model.embed_tokens, plain.model.layers = model.model.embed_tokens, model.model.layers
    plain.model.norm, plain.lm_head = model.model.norm, model.lm_head
    assert torch.allclose(plain(ids).logits, model(ids, num_loops=1).logits, atol=1e-5, rtol=0)
    assert (model(ids, num_loops=2).logits - plain(ids).logits).abs().max() > 1e-2


@pytest.mark.parametrize("injection", INJECTIONS)
@torch.no_grad()
def test_scale_control_keeps_the_state_from_growing(injection):
    model, ids = build(injection=injection), tokens(2, 9)
    growth = {}
    for control in ("none", "match", "norm"):
        config = LoopedConfig(layer_config=model.config.layer_config, injection=injection, scale_control=control)
        other = LoopedForCausalLM(config).eval()
        other.load_state_dict(model.state_dict(), strict=False)
        loop, _ = other.model.begin(ids, use_cache=False, policy=FixedDepth(20))
        states = []
        loop.run(Lockstep(False, ids.device), states)
        growth[control] = (states[-1].norm() / states[0].norm()).item()
    assert growth["match"] == pytest.approx(1.0, abs=1e-3)
    assert growth["norm"] == pytest.approx(1.0, abs=1e-2)
    if injection in ("add", "none"):
        assert growth["none"] > 3
        assert model.config.scale_control == "match"  # so it is on unless switched off
    if injection in ("gate", "diagonal"):
        assert growth["none"] < 5
        assert model.config.scale_control == "none"


@torch.no_grad()
def test_halving_the_precision_keeps_the_residual_in_full_precision():
    model, ids = build().bfloat16(), tokens(2, 8)
    seen = []
    measure = Halter.measure

    def record(halter, old, new):
        seen.append((old.dtype, new.dtype))
        return measure(halter, old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Halter, "measure", record)
        out = model(ids, depth_policy=FixedPoint(tol=0.2, cap=6), use_cache=False)
    assert out.logits.dtype == torch.bfloat16
    assert out.loop_residuals.dtype == torch.float32
    assert set(seen) == {(torch.float32, torch.float32)}  # the state itself, between the passes
    small = torch.full((1, 1, 4), 256.0, dtype=torch.bfloat16)  # 256 + 1 is 256 in bfloat16; 256 and 258 are apart
    halter = FixedPoint(tol=0.2, reference="current").start(LoopCall(torch.ones(1, 1).bool(), torch.zeros(1).long()))
    assert halter.measure(small, small + 2).item() == pytest.approx(2 / 258, rel=1e-5)
    replayed = model(ids, depth_policy=Replay.of(out.trace), use_cache=False)
    assert torch.equal(out.logits, replayed.logits)
    with pytest.raises(ValueError, match=r"record has reduced step sizes, and FixedDepth.*Replay.of\(trace\)"):
        model(ids, depth_policy=Replay(out.trace.depth, out.trace.damping), use_cache=False)
