"""The loop as a function of the state is the model's own loop."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.vpo.looped.tiny_looped import FAMILIES, build, tokens
from vpo.looped.stability import iterate, loop_map, spectral_norm, spectral_radius, token_spectrum
from vpo.looped.stability.derivative import math_attention

VARIANTS = [
    {"injection": "gate"},
    {"injection": "diagonal"},
    {"injection": "concat"},
    {"injection": "add"},
    {"injection": "none", "scale_control": "norm"},
    {"injection": "add", "scale_control": "none"},
]
PADDED = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("options", VARIANTS, ids=str)
@torch.no_grad()
def test_the_trajectory_is_the_models_and_each_state_is_the_map_of_the_one_before(family, options):
    model, ids = build(family, core_layers=3, coda_layers=0, **options), tokens(2, 6)
    step = loop_map(model, ids, PADDED)
    states = step.trajectory(4)
    outputs = model(ids, attention_mask=PADDED, num_loops=4, output_loop_states=True, use_cache=False)
    real = PADDED.bool()
    for state, output in zip(states[1:], outputs.loop_hidden_states, strict=True):
        assert torch.allclose(model.model.norm(state)[real], output[real], atol=1e-5)
    for state, again in zip(states[1:], iterate(step, step.first, 3), strict=True):
        assert torch.allclose(state[real], again[real], atol=1e-4, rtol=1e-5)
    assert torch.equal(states[0], step.signal)
    assert torch.equal(step.mask, real)


@torch.no_grad()
def test_calling_the_map_changes_nothing():
    model, ids = build(injection="add"), tokens(1, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step = loop_map(model, ids, dtype=torch.float64)
    first = step(step.first)
    step(torch.randn_like(step.first))
    step.core(torch.randn_like(step.first))
    step.trajectory(2)
    assert torch.equal(step(step.first), first)
    assert first.dtype == torch.float64
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.model.embed_tokens.weight.dtype == torch.float32


@torch.no_grad()
def test_a_half_precision_model_and_autocast_are_looked_at_in_full_precision():
    model, ids = build(learned_positions=8), tokens(1, 5)
    half = build(learned_positions=8).to(torch.bfloat16)
    model.load_state_dict(half.state_dict())  # the same weights, as fp32
    expected = loop_map(model, ids).trajectory(3)[-1]
    found = loop_map(half, ids).trajectory(3)[-1]
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-2)  # but for the retention, rounded before it is squashed
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loop_map(model, ids).trajectory(3)[-1], expected)


def test_a_map_reaches_the_parameters_unless_it_is_made_without_gradients():
    model, ids = build(), tokens(1, 5)
    loop_map(model, ids, dtype=torch.float64)(torch.randn(1, 5, 32, dtype=torch.float64)).sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {"model.injection.logit", "model.layers.1.mlp.up_proj.weight", "model.embed_tokens.weight"} <= reached
    assert not any(name.startswith(("model.layers.3", "lm_head", "model.norm")) for name in reached)
    with torch.no_grad():
        step = loop_map(model, ids)
    assert not step(step.first).requires_grad


@torch.no_grad()
def test_adapters_are_part_of_the_map():
    model, ids = build(), tokens(1, 5)
    plain = loop_map(model, ids).trajectory(2)[-1]
    wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    adapted = loop_map(wrapped, ids).trajectory(2)[-1]
    assert (adapted - plain).abs().max() > 1e-3
    wrapped.merge_and_unload()
    assert torch.allclose(loop_map(model, ids).trajectory(2)[-1], adapted, atol=1e-4)


@torch.no_grad()
def test_a_trajectory_follows_bounded_planes_where_the_map_keeps_refreshing():
    ids = tokens(1, 6)
    bounded = loop_map(build(cache_planes=2, coda_layers=0, core_layers=3), ids)
    free = loop_map(build(coda_layers=0, core_layers=3), ids)
    assert torch.allclose(bounded.trajectory(2)[-1], free.trajectory(2)[-1], atol=1e-5)
    assert (bounded.trajectory(4)[-1] - free.trajectory(4)[-1]).abs().max() > 1e-3
    assert torch.allclose(bounded(free.first), free(free.first), atol=1e-5)


@pytest.mark.parametrize("options", [VARIANTS[0], VARIANTS[3], VARIANTS[4]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_estimates_on_a_model_equal_those_from_its_explicit_jacobian(options, dtype):
    model, ids, mask = build(**options), tokens(2, 6), PADDED
    with torch.no_grad():
        step = loop_map(model, ids, mask, dtype)
        state = step.trajectory(2)[-1]
    with math_attention():
        full = torch.autograd.functional.jacobian(step, state)
    real = mask.bool()
    matrix = full[real][:, :, real].flatten(0, 1).flatten(1).double()
    norm = spectral_norm(step, state, mask=real, steps=200, tol=1e-7)
    radius = spectral_radius(step, state, mask=real, dimension=60)
    blocks = torch.stack([full[b, t, :, b, t].double() for t in (0, 3, 5) for b in (0, 1)])
    own = token_spectrum(step, state, torch.tensor([0, 3, 5]), dimension=32)
    seen = torch.stack([real[b, t] for t in (0, 3, 5) for b in (0, 1)])  # not padding
    assert norm.value == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-3)
    assert radius.value == pytest.approx(float(torch.linalg.eigvals(matrix).abs().max()), rel=1e-3)
    assert own.radius[seen].tolist() == pytest.approx(
        torch.linalg.eigvals(blocks).abs().amax(-1)[seen].tolist(), rel=1e-3
    )
    assert norm.method == radius.growth.method == "exact"
    coarse = spectral_norm(step, state, mask=real, steps=200, tol=1e-7, derivative="differences")
    assert coarse.value == pytest.approx(norm.value, rel=1e-3)
    # All blocks together hold the joint radius: the map is causal.
    every = torch.stack([full[b, t, :, b, t].double() for b in (0, 1) for t in range(6) if real[b, t]])
    assert float(torch.linalg.eigvals(every).abs().max()) == pytest.approx(radius.value, rel=1e-3)


def test_padding_changes_no_estimate():
    model, row = build(), tokens(1, 4)
    padded, mask = torch.cat([torch.zeros(1, 2, dtype=torch.long), row], 1), PADDED[:1]
    with torch.no_grad():
        alone, beside = loop_map(model, row), loop_map(model, padded, mask)
    options = {"steps": 200, "tol": 1e-7}
    here = spectral_norm(alone, alone.first, mask=alone.mask, **options)
    there = spectral_norm(beside, beside.first, mask=beside.mask, **options)
    assert there.value == pytest.approx(here.value, rel=1e-3)


def test_estimates_work_in_training_mode_under_gradient_checkpointing():
    model, ids = build().train(), tokens(1, 5)
    with torch.no_grad():
        expected = spectral_norm(loop_map(model, ids), torch.ones(1, 5, 32))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    found = spectral_norm(loop_map(model, ids), torch.ones(1, 5, 32))
    assert found.value == pytest.approx(expected.value, rel=1e-5)


def test_what_cannot_be_looked_at_is_refused():
    model = build()
    with pytest.raises(ValueError, match="Linear is not a looped model"):
        loop_map(torch.nn.Linear(2, 2), tokens(1, 3))
    with pytest.raises(ValueError, match=r"expected torch.float32 or torch.float64"):
        loop_map(model, tokens(1, 3), dtype=torch.bfloat16)
    model.config.layer_config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="set_attn_implementation"):
        loop_map(model, tokens(1, 3))
