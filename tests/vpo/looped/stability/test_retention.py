"""The retention certificate: what holds by construction, and what does not follow from it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.looped.tiny_looped import build, tokens
from vpo.looped.injection import INJECTIONS
from vpo.looped.stability import contraction_condition, loop_map, retention_certificate, spectral_norm


def without_core(**options):
    """A model whose core is the identity: attention and MLP write nothing."""
    model = build(**options)
    for layer in model.model.core:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


@pytest.mark.parametrize("injection", INJECTIONS)
def test_gate_and_diagonal_are_bounded_below_one_and_the_others_not_at_all(injection):
    model = build(injection=injection)
    found = retention_certificate(model)
    assert found.injection == injection
    if injection in ("gate", "diagonal"):
        assert found.holds
        assert found.bound == float(model.model.injection.retention.detach().max())
        assert 0 < found.mean <= found.bound < 1
        assert f"{found.bound:.6g}" in found.covers
    else:
        assert (found.bound, found.mean, found.holds) == (None, None, False)
        assert "Nothing is covered" in found.covers
    assert "(I + J_R) A" in found.does_not_cover
    assert retention_certificate(model.model) == found  # the backbone alone


@given(values=st.lists(st.floats(-8, 8), min_size=32, max_size=32), injection=st.sampled_from(["gate", "diagonal"]))
@settings(max_examples=25, deadline=None)
def test_the_bound_holds_at_any_parameters_of_usual_size(values, injection):
    model = build(injection=injection)
    with torch.no_grad():
        if injection == "gate":
            model.model.injection.logit.copy_(torch.tensor(values))
            expected = 1 / (1 + math.exp(-max(values)))
        else:
            model.model.injection.log_rate.copy_(torch.tensor(values) / 4)
            model.model.injection.raw_step.copy_(torch.tensor(values).flip(0))
            steps = [math.log1p(math.exp(value)) for value in reversed(values)]
            expected = max(math.exp(-s * math.exp(v / 4)) for s, v in zip(steps, values, strict=True))
    found = retention_certificate(model)
    assert found.bound == pytest.approx(expected, rel=1e-5)
    assert found.holds


def test_a_bound_lost_in_rounding_is_not_certified(monkeypatch):
    """sigmoid(7) is 0.99909, which bfloat16 rounds to 1."""
    lost = property(lambda self: torch.sigmoid(torch.full((32,), 7.0, dtype=torch.bfloat16)))
    monkeypatch.setattr(INJECTIONS["gate"], "retention", lost)
    found = retention_certificate(build())
    assert (found.bound, found.holds) == (1.0, False)
    assert "rounded to 1 in bfloat16" in found.covers


@pytest.mark.parametrize("injection", ["gate", "diagonal"])
def test_without_a_core_the_loop_contracts_by_its_retention(injection):
    model, ids = without_core(injection=injection), tokens(2, 4)
    with torch.no_grad():
        step = loop_map(model, ids)
    found = contraction_condition(step, step.first)
    bound = retention_certificate(model).bound
    assert found.core.value == 0.0
    assert found.factor == found.retention == bound
    assert found.holds
    assert spectral_norm(step, step.first, steps=500, tol=1e-9).value == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize(("seed", "scale"), [(0, 0.02), (1, 0.2), (2, 0.5), (3, 1.0)])
def test_the_loop_never_stretches_more_than_the_condition_says(seed, scale):
    model, ids = build(seed=seed), tokens(1, 4, seed)
    with torch.no_grad():
        for parameter in model.model.core.parameters():
            parameter.mul_(scale)
        step = loop_map(model, ids)
    options = {"steps": 100, "tol": 1e-6}
    found = contraction_condition(step, step.first, **options)
    assert spectral_norm(step, step.first, **options).value <= found.factor * (1 + 1e-3)
    assert found.factor == pytest.approx(found.retention * (1 + found.core.value))
    assert found.holds == (found.factor < 1)


def test_a_retention_below_one_does_not_make_a_loop_contract():
    """The claim that the certificate does not make: this loop is certified, and stretches all the same."""
    model, ids = build(), tokens(2, 6)
    with torch.no_grad():
        step = loop_map(model, ids)
    assert retention_certificate(model).holds
    assert not contraction_condition(step, step.first).holds
    assert spectral_norm(step, step.first, mask=step.mask).value > 1


@pytest.mark.parametrize("options", [{"injection": "add"}, {"injection": "concat"}, {"scale_control": "match"}])
def test_the_condition_is_not_evaluated_where_the_loop_has_another_form(options):
    with torch.no_grad():
        step = loop_map(build(**options), tokens(1, 4))
    assert contraction_condition(step, step.first) is None


def test_a_plain_model_has_no_certificate():
    with pytest.raises(ValueError, match="Linear is not a looped model"):
        retention_certificate(torch.nn.Linear(2, 2))
