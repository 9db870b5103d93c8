"""Losses and parametrisations that keep a loop stable."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.vpo.looped.stability.analytic_maps import linear, normal
from tests.vpo.looped.tiny_looped import build, tokens
from vpo.looped.stability import (
    apply_spectral_norm,
    jacobian_penalty,
    loop_map,
    normalised_once,
    remove_spectral_norm,
    scale_penalty,
    spectral_norm,
)

METHODS = ["differences", "exact"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("method", METHODS)
def test_the_penalty_of_a_diagonal_map_is_the_mean_square_of_its_factors_at_any_draw(method):
    factors = torch.tensor([0.5, -2.0, 1.0, 0.0], dtype=torch.float64)  # (.25 + 4 + 1 + 0) / 4
    found = jacobian_penalty(lambda z: z * factors + 3.0, normal(2, 3, 4, seed=0), method=method)
    assert float(found) == pytest.approx(1.3125, rel=1e-9)


@given(seed=st.integers(0, 10_000), width=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_the_penalty_is_the_mean_squared_singular_value_on_average(seed, width):
    matrix, point = normal(width, width, seed=seed), normal(1, 1, width, seed=seed + 1)
    expected = float(matrix.square().sum()) / width
    for method in METHODS:
        found = jacobian_penalty(linear(matrix), point, probes=400, method=method, generator=seeded(seed))
        # One probe's spread is at most about sqrt(2) |J^T J|_F / d, below sqrt(2 d) times the mean.
        assert float(found) == pytest.approx(expected, rel=6 * math.sqrt(2 * width / 400))


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_of_the_penalty_is_that_of_finite_differences(method):
    point, weight = normal(1, 2, 3, seed=1), normal(3, 3, seed=2).requires_grad_()

    def penalty(weight):
        f = lambda z: torch.tanh(z @ weight.T)  # noqa: E731
        return jacobian_penalty(f, point, probes=3, method=method, generator=seeded())

    assert torch.autograd.gradcheck(penalty, weight, atol=1e-6)
    penalty(weight).backward()
    by_slope = torch.zeros_like(weight)
    for i in range(3):
        for j in range(3):
            step = torch.zeros_like(weight)
            step[i, j] = 1e-5
            by_slope[i, j] = (penalty(weight + step) - penalty(weight - step)).detach() / 2e-5
    assert torch.allclose(weight.grad, by_slope, atol=1e-6)


def test_differences_of_a_curved_map_err_by_the_square_of_eps():
    weight, point = normal(5, 5, seed=3), normal(1, 2, 5, seed=4)

    def f(z):
        return torch.sin(z @ weight.T)

    matrix = torch.autograd.functional.jacobian(f, point).reshape(10, 10)
    signs = (torch.randint(0, 2, point.shape, generator=seeded()) * 2 - 1).double()
    expected = float((matrix @ signs.flatten()).square().mean())
    off = [abs(float(jacobian_penalty(f, point, eps=eps, generator=seeded())) - expected) for eps in (1e-2, 1e-3)]
    assert off[0] / off[1] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_padding_has_no_share_in_the_penalty_and_the_point_no_gradient(method):
    factors = torch.tensor([1e3, 2.0, 2.0], dtype=torch.float64).view(1, 3, 1)
    point, mask = normal(1, 3, 4, seed=5).requires_grad_(), torch.tensor([[False, True, True]])
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    found = jacobian_penalty(lambda z: scale * factors * z, point, mask=mask, method=method)
    assert float(found.detach()) == pytest.approx(4.0, rel=1e-9)
    found.backward()
    assert float(scale.grad) == pytest.approx(8.0, rel=1e-9)  # d(4 s^2)/ds
    assert point.grad is None


@pytest.mark.parametrize("method", METHODS)
def test_training_on_the_penalty_alone_makes_a_models_loop_stretch_less(method):
    model, ids = build().train(), tokens(2, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    generator = seeded()

    def stretch():
        step = loop_map(model, ids)
        return spectral_norm(step, step.trajectory(2)[-1].detach()).value

    before = stretch()
    for _ in range(15):
        step = loop_map(model, ids)
        state = step.trajectory(2)[-1]
        loss = jacobian_penalty(step, state, mask=step.mask, method=method, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert stretch() < 0.9 * before
    inside = {"model.injection.logit", "model.layers.1.self_attn.q_proj.weight", "model.layers.2.mlp.down_proj.weight"}
    assert inside <= {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_both_methods_agree_on_a_model_on_average():
    model, ids = build(), tokens(2, 4)
    with torch.no_grad():
        step = loop_map(model, ids)
        norms = [float(jacobian_penalty(step, step.first, probes=200, generator=seeded(1)))]
    norms.append(float(jacobian_penalty(step, step.first, probes=200, method="exact", generator=seeded(2)).detach()))
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


def test_the_scale_penalty_charges_growth_by_its_logarithm_and_nothing_else():
    state = normal(1, 3, 4, seed=6)
    assert float(scale_penalty([state, 2 * state])) == pytest.approx(math.log(2) ** 2)
    assert float(scale_penalty([state, state, 0.5 * state])) == 0.0
    assert float(scale_penalty([state, 3 * state, state], allowed=2.0)) == pytest.approx(math.log(1.5) ** 2 / 2)
    mask = torch.tensor([[True, False, False]])
    grown = torch.cat([2 * state[:, :1], 9 * state[:, 1:]], 1)
    assert float(scale_penalty([state, grown], mask)) == pytest.approx(math.log(2) ** 2)


def test_the_scale_penalty_pulls_the_later_states_and_not_the_first():
    first, later = normal(1, 2, 3, seed=7).requires_grad_(), (3 * normal(1, 2, 3, seed=8)).requires_grad_()
    assert torch.autograd.gradcheck(lambda state: scale_penalty([first.detach(), state]), later)
    scale_penalty([first, later]).backward()
    assert not first.grad.any()
    assert later.grad.abs().sum() > 0


def test_penalties_that_make_no_sense_are_refused():
    point = normal(1, 2, 3, seed=9)
    with pytest.raises(ValueError, match="probes is 0"):
        jacobian_penalty(lambda z: z, point, probes=0)
    with pytest.raises(ValueError, match="method is 'guess'"):
        jacobian_penalty(lambda z: z, point, method="guess")
    with pytest.raises(ValueError, match="no token is left"):
        jacobian_penalty(lambda z: z, point, mask=torch.zeros(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="1 states"):
        scale_penalty([point])
    with pytest.raises(ValueError, match="allowed is 0"):
        scale_penalty([point, point], allowed=0.0)


# --- spectral normalisation ----------------------------------------------------------------------------------------


def largest(model) -> list[float]:
    layers = [layer for layer in model.model.core.modules() if isinstance(layer, torch.nn.Linear)]
    return [float(torch.linalg.matrix_norm(layer.weight.detach(), 2)) for layer in layers]


def test_spectral_normalisation_gives_every_linear_layer_of_the_core_norm_one_through_training():
    model, ids = build().train(), tokens(2, 6)
    outside = model.model.layers[0].mlp.up_proj.weight.clone()
    assert max(largest(model)) > 2
    names = apply_spectral_norm(model)
    assert len(names) == 14  # seven a layer
    assert apply_spectral_norm(model) == names  # once only: the next line would see two parametrisations
    assert all(len(layer.parametrizations.weight) == 1 for layer in model.model.core.modules() if is_linear(layer))
    assert largest(model) == pytest.approx([1.0] * 14, abs=0.05)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(5):
        model(ids, labels=ids, num_loops=3).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert largest(model) == pytest.approx([1.0] * 14, abs=0.05)
    assert not torch.equal(model.model.layers[0].mlp.up_proj.weight, outside)


def is_linear(layer) -> bool:
    return isinstance(layer, torch.nn.Linear)


def test_a_normalised_core_stretches_less():
    model, ids = build(), tokens(1, 5)
    with torch.no_grad():
        before = loop_map(model, ids)
        before = spectral_norm(before, before.first).value
        apply_spectral_norm(model)
        step = loop_map(model, ids, dtype=torch.float64)
        assert spectral_norm(step, step.first).value < before


@torch.no_grad()
def test_removing_bakes_the_weights_in_so_that_saving_and_loading_keep_them(tmp_path):
    model, ids = build(), tokens(2, 6)
    apply_spectral_norm(model)
    expected = model(ids).logits
    assert len(remove_spectral_norm(model)) == 14
    assert torch.equal(model(ids).logits, expected)
    assert remove_spectral_norm(model) == []
    assert not any("parametrizations" in name for name in model.state_dict())
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, expected)


@torch.no_grad()
def test_removing_in_training_mode_does_not_move_the_weights():
    model = build().train()
    apply_spectral_norm(model)
    with normalised_once(model):
        expected = [layer.weight.clone() for layer in model.model.core.modules() if is_linear(layer)]
    remove_spectral_norm(model)
    found = [layer.weight for layer in model.model.core.modules() if is_linear(layer)]
    assert len(found) == len(expected) == 14
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
    assert all(layer.training for layer in model.modules())


@torch.no_grad()
def test_a_raw_dictionary_has_other_names_and_fits_a_model_that_is_normalised_first():
    model, ids = build(), tokens(2, 6)
    apply_spectral_norm(model)
    saved = model.state_dict()
    missing = build(seed=1).load_state_dict(saved, strict=False).missing_keys
    assert len(missing) == 14
    assert all(name.startswith(("model.layers.1.", "model.layers.2.")) for name in missing)
    other = build(seed=1)
    apply_spectral_norm(other)
    other.load_state_dict(saved)
    assert torch.equal(other(ids).logits, model(ids).logits)


def test_normalised_once_a_training_step_sees_one_set_of_weights():
    model, ids = build().train(), tokens(2, 6)
    apply_spectral_norm(model)
    with normalised_once(model), torch.no_grad():
        assert torch.equal(model(ids, num_loops=3).logits, model(ids, num_loops=3).logits)
    weight, grads = model.model.core[0].mlp.up_proj.parametrizations.weight.original, []
    state = copy.deepcopy(model.state_dict())
    for checkpointing in (False, True):
        model.load_state_dict(state)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        with normalised_once(model):
            model(ids, labels=ids, num_loops=3, use_cache=False).loss.backward()
        grads.append(weight.grad.clone())
        model.zero_grad()
    assert grads[0].abs().sum() > 0
    assert torch.allclose(*grads, atol=1e-6)


def test_a_core_with_adapters_is_refused():
    wrapped = get_peft_model(build(), LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(ValueError, match="merge_and_unload"):
        apply_spectral_norm(wrapped)
    with pytest.raises(ValueError, match="is not a looped model"):
        remove_spectral_norm(torch.nn.Linear(2, 2))
