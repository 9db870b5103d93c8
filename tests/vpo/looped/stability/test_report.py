"""The report of a model's stability, and the verdict on its numbers."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy, kl_div

from tests.vpo.looped.stability.test_retention import without_core
from tests.vpo.looped.tiny_looped import build, tokens
from vpo.looped import FixedPoint
from vpo.looped.scale import rms
from vpo.looped.stability import findings, fresh_start_distance, gain, loop_map, stability_report, token_spectrum

NUMBERS = {
    "step_size",
    "residual",
    "scale_free_residual",
    "norm_growth",
    "cosine",
    "period2",
    "contraction",
    "acceleration",
    "finite",
    "oscillating",
    "rising",
    "effective_rank",
    "token_cosine",
    "fresh_start_distance",
    "cross_entropy",
    "kl",
}
PADDED = {"input_ids": torch.cat([torch.zeros(3, 2, dtype=torch.long), tokens(3, 4)], 1)}
PADDED["attention_mask"] = (PADDED["input_ids"] != 0).long()


def kinds(report) -> list[str]:
    return [finding.kind for finding in report.findings]


def test_a_report_holds_one_number_a_loop_and_leaves_the_model_as_it_was(capsys):
    model = build().train()
    model.model.core[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = stability_report(model, [tokens(2, 6), PADDED], loops=5)
    assert (report.loops, report.num_tokens, report.trained_loops) == (5, 12 + 12, 2)
    assert report.per_loop.keys() == NUMBERS
    assert all(len(values) == 5 for values in report.per_loop.values())
    assert [local.loop for local in report.local] == [1, 2, 3, 4, 5]
    assert report.lyapunov == pytest.approx(math.log(report.contraction))
    assert report.condition.retention == report.retention.bound
    assert model.training
    assert not model.model.core[0].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    written = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert written["verdict"] == report.verdict
    assert written["per_loop"]["cosine"][0] is None
    assert written["local"][0]["norm"]["value"] == report.local[0].norm.value
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_report_does_not_depend_on_padding_or_on_how_text_is_batched():
    model, ids = build(), PADDED["input_ids"][:, 2:]
    here = stability_report(model, [ids], loops=4, jacobian_loops=())
    there = stability_report(model, [PADDED], loops=4, jacobian_loops=())
    apart = stability_report(model, list(ids.split(1)), loops=4, jacobian_loops=())
    assert here.local == there.local == ()
    for name in NUMBERS - {"fresh_start_distance"}:  # whose start is drawn
        assert here.per_loop[name] == pytest.approx(there.per_loop[name], rel=1e-3, abs=1e-5, nan_ok=True)
        assert here.per_loop[name] == pytest.approx(apart.per_loop[name], rel=1e-3, abs=1e-5, nan_ok=True)


@torch.no_grad()
def test_fresh_starts_and_spectra_are_those_of_real_tokens():
    model, ids, mask = build(), PADDED["input_ids"], PADDED["attention_mask"]
    step = loop_map(model, ids, mask)
    states = step.trajectory(3)
    other = torch.randn(states[1].shape, generator=torch.Generator().manual_seed(0)) * rms(states[1])
    apart = fresh_start_distance(step, states[1], other, 2)[:, :, 2:].flatten(1).mean(1).tolist()
    report = stability_report(model, [PADDED], loops=3, jacobian_loops=(3,), jacobian_rows=3, positions=1)
    assert report.per_loop["fresh_start_distance"] == pytest.approx(apart, rel=1e-4)
    first = token_spectrum(step, states[3], torch.tensor([2])).radius  # position 0 is padding
    assert report.local[0].token_radius == pytest.approx(float(first.max()), rel=1e-3)
    assert report.local[0].token_radius_mean == pytest.approx(float(first.mean()), rel=1e-3)


def test_the_same_seed_gives_the_same_report_and_another_another_start():
    model = build()
    reports = [stability_report(model, [tokens(2, 5)], 3, jacobian_loops=(3,), seed=seed) for seed in (0, 0, 1)]
    assert reports[0].to_dict() == reports[1].to_dict()
    assert reports[0].per_loop["fresh_start_distance"] != reports[2].per_loop["fresh_start_distance"]


def test_a_backbone_alone_and_a_model_with_adapters_are_reported_on():
    model = build()
    alone = stability_report(model.model, [tokens(2, 5)], loops=3, jacobian_loops=())
    assert alone.per_loop.keys() == NUMBERS - {"cross_entropy", "kl"}
    assert any("no head" in note for note in alone.notes)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))  # which start at zero
    report = stability_report(adapted, [tokens(2, 5)], loops=3, jacobian_loops=())
    assert report.per_loop["residual"] == pytest.approx(alone.per_loop["residual"], rel=1e-5)
    assert report.per_loop.keys() == NUMBERS


def test_bounded_planes_are_noted():
    report = stability_report(build(cache_planes=2), [tokens(1, 4)], loops=3, jacobian_loops=())
    assert any("stop refreshing at loop 2" in note for note in report.notes)


@torch.no_grad()
def test_gains_are_those_of_the_models_logits_after_each_loop():
    model = build()
    ids, mask = PADDED["input_ids"], PADDED["attention_mask"]
    found = gain(model, ids, mask, 3).per_loop()
    logits = [model(ids, attention_mask=mask, num_loops=n, use_cache=False).logits[:, 2:] for n in (1, 2, 3)]
    losses = [float(cross_entropy(each[:, :-1].flatten(0, 1), ids[:, 3:].flatten())) for each in logits]
    assert found["cross_entropy"] == pytest.approx(losses, rel=1e-4)
    logs = [each.log_softmax(-1) for each in logits]
    moved = [
        float(kl_div(before, after, reduction="none", log_target=True).sum(-1).mean())
        for before, after in pairwise(logs)
    ]
    assert math.isnan(found["kl"][0])
    assert found["kl"][1:] == pytest.approx(moved, rel=1e-3)


# --- verdicts on models whose loop is known on paper ---------------------------------------------------------------


def test_a_core_that_adds_nothing_to_a_gate_settles_at_once_and_needs_no_second_loop():
    report = stability_report(without_core(), [tokens(2, 6)], loops=4)
    assert kinds(report)[:2] == ["settled", "lower_cap"]
    assert "a cap of 1 loses nothing" in report.verdict
    assert "contracts" in kinds(report)
    assert report.condition.holds
    assert report.local[-1].token_radius == pytest.approx(report.retention.bound, rel=1e-2)


def test_a_signal_added_at_every_loop_drifts_though_its_residual_becomes_small():
    model = without_core(injection="add", scale_control="none")  # z_t = t * e
    report = stability_report(model, [tokens(2, 6)], loops=25, jacobian_loops=(25,))
    assert report.per_loop["residual"][-1] == pytest.approx(1 / 25, rel=1e-3)  # below the tolerance
    assert "drifts" in kinds(report)
    assert "settled" not in kinds(report)
    assert report.per_loop["norm_growth"][-1] == pytest.approx(25, rel=1e-3)
    assert report.local[0].norm.value == pytest.approx(1.0, rel=1e-3)


def feedback(factor: float):
    """``z' = factor * z + e``."""
    model = without_core(injection="concat", scale_control="none")
    with torch.no_grad():
        model.model.injection.adapter.copy_(torch.cat([factor * torch.eye(32), torch.eye(32)], 1))
    return model


def test_an_overshooting_loop_is_to_be_damped_by_what_its_spectrum_allows():
    report = stability_report(feedback(-1.1), [tokens(2, 6)], loops=6, jacobian_loops=(6,))
    assert "oscillates" in kinds(report)
    assert "unstable" in kinds(report)
    assert report.local[0].step_size == pytest.approx(2 / 2.1, rel=1e-3)
    assert "below 0.95 by the spectrum" in report.verdict
    assert report.contraction == pytest.approx(1.1, rel=1e-3)
    assert report.per_loop["cosine"][-1] == pytest.approx(-1, rel=1e-3)


def test_a_slow_contraction_is_told_how_many_more_loops_it_needs():
    report = stability_report(feedback(0.8), [tokens(2, 6)], loops=6, jacobian_loops=(6,), tol=0.01)
    # |z_6 - z_5| / |z_6| = .8^5 (1 - .8) / (1 - .8^6) = .0888, and .8^10 = .107 < .01 / .0888 < .8^9
    assert report.per_loop["residual"][-1] == pytest.approx(0.8**5 * 0.2 / (1 - 0.8**6), rel=1e-3)
    assert "unsettled" in kinds(report)
    assert "at 0.8 a step, the last one's, 10 more loops would settle it" in report.verdict
    assert report.contraction == pytest.approx(0.8, rel=1e-3)


def test_a_growing_loop_that_damping_cannot_help_is_called_unstable():
    report = stability_report(feedback(1.2), [tokens(1, 4)], loops=5, jacobian_loops=(5,))
    assert "drifts" in kinds(report)
    assert "damping cannot help" in report.verdict


def test_a_loop_that_overflows_is_reported_and_its_jacobian_left_out():
    report = stability_report(feedback(1e10), [tokens(1, 4)], loops=4)
    assert kinds(report)[0] == "diverges"
    assert [local.loop for local in report.local] == [1, 2]
    json.dumps(report.to_dict(), allow_nan=False)


# --- the decision table --------------------------------------------------------------------------------------------

CALM = {
    "residual": [1.0, 0.3, 0.1, 0.04],
    "scale_free_residual": [1.0, 0.3, 0.1, 0.04],
    "contraction": [math.nan, 0.4, 0.4, 0.4],
    "cosine": [math.nan, 0.1, 0.1, 0.1],
    "oscillating": [math.nan, 0.1, 0.1, 0.1],
    "norm_growth": [1.0, 1.0, 1.0, 1.0],
    "finite": [1.0, 1.0, 1.0, 1.0],
    "kl": [math.nan, 0.5, 0.1, 0.05],
    "cross_entropy": [3.0, 2.5, 2.4, 2.39],
    "effective_rank": [10.0, 11.0, 11.0, 10.9],
    "fresh_start_distance": [1.0, 0.5, 0.2, 0.05],
}
ROUGH = {
    "residual": [1.0, 0.9, 0.9, 0.9],
    "scale_free_residual": [1.0, 0.9, 0.9, 0.9],
    "contraction": [math.nan, 1, 1, 1],
}


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, {}, ["settled"]),
        (
            {"kl": [math.nan, 0.5, 1e-4, 1e-5], "scale_free_residual": [1, 0.1, 0.04, 0.01]},
            {},
            ["settled", "lower_cap"],
        ),
        ({"kl": [math.nan, 1e-4, 0.5, 1e-5]}, {}, ["settled", "lower_cap"]),  # from loop 4 only
        ({"scale_free_residual": [1.0, 0.3, 0.3, 0.3]}, {}, ["unsettled"]),  # a direction that still moves
        (ROUGH, {}, ["unsettled"]),
        ({**ROUGH, "oscillating": [math.nan, 1, 1, 0.9]}, {}, ["oscillates"]),
        (
            {"cosine": [math.nan, 1, 1, 1], "contraction": [math.nan, 1, 1, 1], "norm_growth": [1, 2, 3, 4]},
            {},
            ["drifts"],
        ),
        ({"cosine": [math.nan, 1, 1, 1], "norm_growth": [1, 1.5, 1.7, 1.75]}, {}, ["settled"]),  # straight to its goal
        ({"cross_entropy": [3.0, 2.5, 2.4, 2.6], "effective_rank": [10, 11, 9, 8]}, {}, ["settled", "over_contracts"]),
        ({"cross_entropy": [3.0, 2.5, 2.4, 2.6]}, {"trained_loops": 2}, ["settled", "past_trained_depth"]),
        ({"cross_entropy": [3.0, 2.5, 2.4, 2.6]}, {"trained_loops": 4}, ["settled"]),
        ({"finite": [1, 1, 1, 0.9]}, {}, ["diverges"]),
        ({"fresh_start_distance": [1, 1, 0.9, 0.8]}, {}, ["settled", "path_dependent"]),
        ({}, {"radius": 0.9, "norm": 3.0}, ["settled", "transient_growth"]),
        ({}, {"radius": 0.5, "norm": 0.9}, ["settled", "contracts"]),
        ({}, {"radius": 1.2, "norm": 3.0, "step_size": 0.5}, ["settled", "unstable"]),
    ],
)
def test_the_decision_table(changes, options, expected):
    found = findings({**CALM, **changes}, **{"tol": 0.05, "trained_loops": 4, "contraction": 0.4, **options})
    assert [finding.kind for finding in found] == expected
    assert all(finding.text.endswith(".") and "nan" not in finding.text for finding in found)


def test_numbers_that_are_missing_raise_no_finding_about_them():
    only = {name: CALM[name] for name in ("residual", "scale_free_residual", "contraction")}
    assert [each.kind for each in findings(only, tol=0.05, trained_loops=4, contraction=0.4)] == ["settled"]


def test_the_trained_depth_is_the_cap_of_the_models_policy():
    model = build()
    model.depth_policy = FixedPoint(cap=6)
    report = stability_report(model, [tokens(1, 4)], loops=2, jacobian_loops=())
    assert report.trained_loops == 6
    assert dataclasses.is_dataclass(report)


def test_reports_that_make_no_sense_are_refused():
    model = build()
    with pytest.raises(ValueError, match="expected at least 2"):
        stability_report(model, [tokens(1, 4)], loops=1)
    with pytest.raises(ValueError, match="loops among those run"):
        stability_report(model, [tokens(1, 4)], loops=3, jacobian_loops=(4,))
    with pytest.raises(ValueError, match="no real token"):
        stability_report(model, [], loops=3)
    with pytest.raises(ValueError, match="is not a looped model"):
        stability_report(torch.nn.Linear(2, 2), [tokens(1, 4)])
