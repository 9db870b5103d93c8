"""Each probe gives what its model computes: ours at every depth policy, Huginn's and Ouro's by their own forward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from eval.depth import AdaptedProbe, LoopedProbe, Passage, Plan, measure_depth, passage_batches, probe_of
from eval.depth.adapter import settled_depths
from tests.eval.depth_report.analytic_cores import contraction, drift
from tests.eval.depth_report.foreign_models import VOCABULARY, OuroForCausalLM, RavenForCausalLM
from tests.vpo.looped.tiny_looped import FAMILIES, INJECTIONS, build, tokens
from vpo.looped import FixedDepth, FixedPoint
from vpo.looped.depth import as_policy, to_dict


def padded(rows: int = 3, length: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    ids = tokens(rows, length)
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[0, 5:] = False
    return ids, mask


# --- ours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("injection", INJECTIONS)
@torch.no_grad()
def test_the_outputs_of_every_loop_are_those_of_the_model_at_that_depth(injection: str) -> None:
    model, (ids, mask) = build(injection=injection, num_loops=2), padded()
    probe = probe_of(model)
    assert isinstance(probe, LoopedProbe) and probe.trained_loops == 2 and not probe.is_adaptive
    found = probe.trajectory(ids, mask, 3)
    assert len(found.states) == 4
    for loop, output in enumerate(found.outputs, start=1):
        logits = model(ids, mask.long(), num_loops=loop, use_cache=False).logits
        assert torch.allclose(probe.logits(output)[mask], logits[mask], atol=1e-5)


@torch.no_grad()
def test_a_tolerance_stops_where_the_policy_stops_and_the_models_own_policy_is_left_alone() -> None:
    model, (ids, mask) = build(num_loops=6), padded()
    probe = LoopedProbe(model)
    trajectory = probe.trajectory(ids, mask, 6)
    exits = probe.exits(ids, mask, trajectory, 0.3, 6)
    out = model(ids, mask.long(), depth_policy=FixedPoint(tol=0.3, cap=6), use_cache=False)
    assert torch.equal(exits.depths, out.loop_depths)
    assert torch.allclose(probe.logits(exits.outputs)[mask], out.logits[mask], atol=1e-5)
    assert exits.depths[mask].unique().numel() > 1, "else this shows nothing"
    assert model.depth_policy == FixedDepth(6)
    own = probe.exits(ids, mask, trajectory, None, 6)
    assert (own.depths[mask] == 6).all() and torch.equal(own.outputs, trajectory.outputs[5])


@pytest.mark.parametrize(
    ("change", "values", "expected"),
    [
        ("cap", {"cap": 2}, {"cap": 2, "min_loops": 2}),
        ("halt", {"cap": 2, "tol": 0.2}, {"cap": 2, "min_loops": 2, "tol": 0.2}),
        ("damp", {"cap": 6, "step_size": 0.0004}, {"cap": 6, "step_size": 0.0004, "floor": 0.0002}),
        ("damp", {"cap": 6, "step_size": 0.5}, {"cap": 6, "step_size": 0.5}),
    ],
)
def test_a_change_of_a_policy_of_ones_own_is_one_that_can_be_made(change: str, values: dict, expected: dict) -> None:
    model = build(num_loops=6)
    model.depth_policy = own = FixedPoint(tol=0.3, cap=5, min_loops=3)
    (made,) = LoopedProbe(model).settings(change, **values).values()
    assert as_policy(made) == replace(own, **expected)


@torch.no_grad()
def test_an_adaptive_policy_of_the_models_own_is_run_as_it_is() -> None:
    model, (ids, mask) = build(num_loops=6), padded()
    model.depth_policy = FixedPoint(tol=0.3, cap=5)
    probe = LoopedProbe(model)
    assert probe.is_adaptive and probe.trained_loops == 5 and "FixedPoint" in probe.own_rule
    out = model(ids, mask.long(), use_cache=False)
    assert torch.equal(probe.exits(ids, mask, probe.trajectory(ids, mask, 6), None, 6).depths, out.loop_depths)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_comes_loop_by_loop_and_layer_by_layer_and_eager_attention_is_switched_off_again(family: str) -> None:
    model, (ids, mask) = build(family, num_loops=3, core_layers=2), padded()
    weights = LoopedProbe(model).attention(ids, mask, 3)
    assert weights is not None and weights.shape == (3, 2, 3, 4, 9, 9)
    rows = weights.sum(-1)[..., mask[:, None].expand(-1, 4, -1)]
    assert torch.allclose(rows, torch.ones_like(rows), atol=1e-5)
    assert (weights.triu(1).abs() < 1e-6).all(), "causal"
    assert model.config.layer_config._attn_implementation == "sdpa"


def test_the_loop_is_the_map_that_the_trajectory_goes_through() -> None:
    model, (ids, mask) = build(num_loops=3), padded()
    probe = LoopedProbe(model)
    states = probe.trajectory(ids, mask, 3).states
    step = probe.loop(ids, mask)
    assert torch.allclose(step(states[2])[mask], states[3][mask], atol=1e-5)


def test_a_change_is_spelled_in_settings_that_there_are() -> None:
    probe = LoopedProbe(build(num_loops=4))
    assert probe.settings("cap", cap=2) == {"depth_policy": to_dict(FixedDepth(2))}
    assert probe.settings("halt", tol=0.1, cap=3) == {"depth_policy": to_dict(FixedPoint(tol=0.1, cap=3))}
    damped = probe.settings("damp", cap=4, step_size=0.5)["depth_policy"]
    assert damped == to_dict(FixedPoint(cap=4, step_size=0.5))
    assert probe.settings("scale") == {"scale_control": "match"}
    assert probe.settings("train", high=6)["training depth_policy"]["high"] == 6
    probe.model.depth_policy = FixedPoint(tol=0.2, cap=4)
    assert probe.settings("cap", cap=2) == {"depth_policy": to_dict(FixedPoint(tol=0.2, cap=2))}


# --- others --------------------------------------------------------------------------------------------------------


def others(length: int = 7) -> torch.Tensor:
    return torch.randint(VOCABULARY, (2, length), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def test_huginns_logits_are_those_of_its_own_forward_and_its_blocks_see_their_own_numbers() -> None:
    torch.manual_seed(0)
    model, ids = RavenForCausalLM(), others()
    probe = probe_of(model, seed=5)
    assert isinstance(probe, AdaptedProbe) and probe.kind == "huginn" and probe.trained_loops == 3
    before = torch.random.get_rng_state()
    found = probe.trajectory(ids, torch.ones_like(ids, dtype=torch.bool), 4)
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator is left as it was"
    seen = [block.seen for block in model.transformer["core_block"]]
    assert seen == [[2, 4, 6, 8], [3, 5, 7, 9]]
    assert {number for block in model.transformer["coda"] for number in block.seen} == {-1, -2}
    for loop, output in enumerate(found.outputs, start=1):
        assert torch.allclose(probe.logits(output), model(ids, loop, seed=5), atol=1e-6)
    other = probe_of(model, seed=6).trajectory(ids, torch.ones_like(ids, dtype=torch.bool), 4)
    assert not torch.allclose(other.outputs[0], found.outputs[0])
    assert any("seed 5" in note for note in probe.notes)


@torch.no_grad()
def test_ouros_logits_are_those_of_its_own_forward_after_every_loop() -> None:
    torch.manual_seed(0)
    model, ids = OuroForCausalLM(), others()
    probe = probe_of(model)
    assert probe.kind == "ouro" and probe.trained_loops == 4
    found = probe.trajectory(ids, torch.ones_like(ids, dtype=torch.bool), 4)
    for output, logits in zip(found.outputs, model(ids), strict=True):
        assert torch.allclose(probe.logits(output), logits, atol=1e-6)


@pytest.mark.parametrize("make", [RavenForCausalLM, OuroForCausalLM])
def test_a_report_can_be_made_of_models_of_other_makes(make: type) -> None:
    torch.manual_seed(0)
    rows = [Passage(row.tolist()) for row in torch.randint(VOCABULARY, (6, 8))]
    plan = Plan(5, cap=3, tols=(0.05, 0.5), jacobian_loops=(3,), draws=50)
    report = measure_depth(probe_of(make()), passage_batches(rows, 3), plan)
    assert report.make in ("huginn", "ouro")
    assert report.num_tokens == 6 * 7 and len(report.series["cross_entropy"].mean) == 5
    assert report.jacobian[0].radius is not None and report.jacobian[0].radius > 0
    assert "attention_change" not in report.series
    assert any("simulated" in note for note in report.notes)


def test_padding_on_the_right_changes_nothing_and_on_the_left_is_refused() -> None:
    torch.manual_seed(0)
    probe, ids = probe_of(OuroForCausalLM()), others()
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[0, 4:] = False
    alone = probe.trajectory(ids[:1, :4], mask[:1, :4], 2).outputs[1]
    assert torch.allclose(probe.trajectory(ids, mask, 2).outputs[1][:1, :4], alone, atol=1e-6)
    with pytest.raises(ValueError, match="after padding"):
        probe.trajectory(ids, mask.flip(1), 2)


def test_tokens_stop_where_their_residual_first_falls_below_the_tolerance() -> None:
    core = contraction(0.5)
    ids = torch.tensor([[1, 2, 3]])
    mask = torch.tensor([[True, True, False]])
    states = core.probe().trajectory(ids, mask, 8).states
    depths, capped = settled_depths(states, mask, 0.1, 8)
    for token in range(2):
        z = [state[0, token].double() for state in states]
        sizes = [float(each.norm()) for each in z]
        residuals = [float((z[t] - z[t - 1]).norm()) / min(sizes[1 : t + 1]) for t in range(1, 9)]
        assert int(depths[0, token]) == next(t for t, each in enumerate(residuals, start=1) if each < 0.1)
    assert int(depths[0, 2]) == 1 and not bool(capped.any())
    moving = drift().probe().trajectory(ids, mask, 8).states
    depths, capped = settled_depths(moving, mask, 0.2, 8)
    assert depths[mask].tolist() == [8, 8] and bool(capped[mask].all()), "growing is not settling"
    with pytest.raises(ValueError, match="expected 10 or more"):
        settled_depths(states, mask, 0.1, 9)


def test_models_that_do_not_loop_are_refused() -> None:
    with pytest.raises(ValueError, match="no looped model that is known"):
        probe_of(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="trained_loops is 0"):
        probe_of(build(), trained_loops=0)
    with pytest.raises(ValueError, match="no looped language model"):
        LoopedProbe(torch.nn.Linear(2, 2))


def test_passages_without_a_prediction_are_refused() -> None:
    with pytest.raises(ValueError, match="start is 1 of 1 tokens"):
        Passage([3])
    with pytest.raises(ValueError, match="there are 0 passages"):
        passage_batches([], 4)


def test_batches_count_the_predictions_of_answers_and_pad_on_the_right() -> None:
    (batch,) = passage_batches([Passage([1, 2, 3, 4], start=3), Passage([5, 6])], 4)
    assert batch.ids.tolist() == [[5, 6, 0, 0], [1, 2, 3, 4]]
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.counts.tolist() == [[True, False, False, False], [False, False, True, False]]
