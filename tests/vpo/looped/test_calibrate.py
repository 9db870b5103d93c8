"""The tolerance that keeps early exits within a given distance of the full depth."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig

from vpo.looped import FixedDepth, FixedPoint, KLExit, LoopedConfig, LoopedForCausalLM
from vpo.looped import calibrate as calibrate_module  # the module: a test shrinks its chunks
from vpo.looped.calibrate import calibrate

TOLS = (0.05, 0.2, 0.4, 0.8)


def build(seed: int = 0, **options) -> LoopedForCausalLM:
    torch.manual_seed(seed)
    layers = LlamaConfig(
        vocab_size=31,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, retention_init=0.4, **options)).eval()
    for name, parameter in model.named_parameters():
        if "injection" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def tokens(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_the_curve_is_what_the_policy_itself_does_on_the_text():
    model, batches = build(), [tokens(3, 9, seed=1), tokens(2, 5, seed=2)]
    template = FixedPoint(patience=1, norm="max")
    found = calibrate(model, batches, target_kl=100.0, cap=5, policy=template, tols=TOLS)
    for row in found.curve:
        policy = FixedPoint(tol=row.tol, cap=5, patience=1, norm="max")
        divergences, lengths, depths, capped = [], [], [], 0
        for ids in batches:
            for sequence in ids:
                exit_, cap = model(sequence[None], depth_policy=policy), model(sequence[None], num_loops=5)
                p, q = exit_.logits.log_softmax(-1)[0], cap.logits.log_softmax(-1)[0]
                divergences.append(sum(float((p[t].exp() * (p[t] - q[t])).sum()) for t in range(len(sequence))))
                lengths.append(len(sequence))
                depths += exit_.loop_depths[0].tolist()
                capped += int((exit_.loop_reasons == 0).sum())
        mean = sum(divergences) / sum(lengths)
        off = sum((d - mean * n) ** 2 for d, n in zip(divergences, lengths, strict=True))
        assert row.kl == pytest.approx(mean, rel=1e-4, abs=1e-7)
        assert row.kl_se == pytest.approx(math.sqrt(5 / 4 * off) / 37, rel=1e-3, abs=1e-7)
        assert row.mean_depth == pytest.approx(sum(depths) / 37)
        assert row.share_at_cap == pytest.approx(capped / 37)
    assert (found.num_tokens, found.num_sequences) == (37, 5)
    assert len({row.mean_depth for row in found.curve}) > 2, "tolerances that do nothing prove nothing"


def test_the_largest_tolerance_within_the_target_is_chosen():
    model, batches = build(), [tokens(4, 12)]
    curve = calibrate(model, batches, 100.0, tols=TOLS[::-1]).curve
    assert [row.tol for row in curve] == sorted(TOLS)
    for target in (curve[0].kl * 1.01 + 1e-9, (curve[1].kl + curve[2].kl) / 2, 100.0):
        found = calibrate(model, batches, target, tols=TOLS)
        assert found.tol == max(row.tol for row in curve if row.kl <= target)
        assert found.policy == FixedPoint(tol=found.tol, cap=4)
        assert found.target_kl == target


def test_a_tolerance_that_nothing_meets_runs_to_the_cap_and_one_that_all_meet_stops_at_once():
    found = calibrate(build(), [tokens(3, 9)], 100.0, cap=3, policy=FixedPoint(patience=0), tols=[1e-9, 1e9])
    strict, lax = found.curve
    assert (strict.mean_depth, strict.share_at_cap, strict.kl) == (3, 1, pytest.approx(0, abs=1e-6))
    assert (lax.mean_depth, lax.share_at_cap) == (1, 0)
    assert lax.kl > 0.001


@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4), side=st.sampled_from(["left", "right"]),
    chunk=st.sampled_from([1, 100, 1 << 24]), empty_row=st.booleans(),
)  # fmt: skip
@settings(max_examples=15)
def test_padding_batches_and_chunks_change_nothing(lengths, side, chunk, empty_row):
    model, longest = build(), max(lengths)
    rows = [tokens(1, length, seed=i) for i, length in enumerate(lengths)]
    padded = torch.zeros(len(rows) + empty_row, longest, dtype=torch.long)
    mask = padded.clone()
    for i, row in enumerate(rows):
        where = slice(0, row.shape[1]) if side == "right" else slice(longest - row.shape[1], longest)
        padded[i, where], mask[i, where] = row[0], 1
    plain = calibrate(model, rows, 100.0, tols=[0.2, 0.4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate_module, "_CHUNK", chunk)
        packed = calibrate(model, [{"input_ids": padded, "attention_mask": mask}], 100.0, tols=[0.2, 0.4])
    assert packed.num_sequences == len(rows)
    for one, other in zip(plain.curve, packed.curve, strict=True):
        assert one.mean_depth == other.mean_depth
        assert one.kl == pytest.approx(other.kl, rel=1e-3, abs=1e-6)
        assert one.kl_se == pytest.approx(other.kl_se, rel=1e-3, abs=1e-6, nan_ok=True)


@torch.no_grad()
def test_of_prompt_and_completion_those_positions_count_that_predict_the_completion():
    model, ids = build(), tokens(3, 10)
    starts = (4, 1, 9)  # of the completions; the last one is a single token
    mask = torch.tensor([[int(t >= start) for t in range(10)] for start in starts])
    found = calibrate(model, [{"input_ids": ids, "completion_mask": mask}], 100.0, cap=5, tols=TOLS)
    for row in found.curve:
        divergences, depths, capped = [], [], 0
        for sequence, start in zip(ids, starts, strict=True):
            exit_, cap = (
                model(sequence[None], depth_policy=FixedPoint(tol=row.tol, cap=5)),
                model(sequence[None], num_loops=5),
            )
            p, q = exit_.logits.log_softmax(-1)[0], cap.logits.log_softmax(-1)[0]
            places = range(start - 1, 9)  # what follows the last token is no completion's
            divergences += [float((p[t].exp() * (p[t] - q[t])).sum()) for t in places]
            depths += [int(exit_.loop_depths[0, t]) for t in places]
            capped += sum(int(exit_.loop_reasons[0, t] == 0) for t in places)
        assert len(divergences) == found.num_tokens == 6 + 9 + 1 and found.num_sequences == 3
        assert row.kl == pytest.approx(sum(divergences) / len(divergences), rel=1e-4, abs=1e-7)
        assert row.mean_depth == pytest.approx(sum(depths) / len(depths))
        assert row.share_at_cap == pytest.approx(capped / len(depths))


def test_what_prompts_would_predict_does_not_move_the_tolerance():
    """Prompts whose outputs change most, and completions whose outputs hardly do."""
    model, ids = build(), tokens(6, 12)
    with torch.no_grad():
        p = model(ids, depth_policy=FixedPoint(tol=TOLS[-1])).logits.log_softmax(-1)
        q = model(ids, num_loops=4).logits.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)
    calm = torch.zeros_like(ids)
    place = kl[:, :-1].argmin(1) + 1  # the token that the calmest position predicts
    calm[torch.arange(6), place] = 1
    target = float(kl[torch.arange(6), place - 1].mean()) * 1.01 + 1e-6
    assert calibrate(model, [{"input_ids": ids, "completion_mask": calm}], target, tols=TOLS).tol == TOLS[-1]
    try:
        assert calibrate(model, [ids], target, tols=TOLS).tol < TOLS[-1]
    except ValueError as none:
        assert "no tolerance keeps" in str(none)  # so strict is nobody with all the prompts


@given(
    starts=st.lists(st.integers(1, 6), min_size=2, max_size=4), side=st.sampled_from(["left", "right"]),
    chunk=st.sampled_from([1, 1 << 24]),
)  # fmt: skip
@settings(max_examples=10, deadline=None)
def test_padding_and_batches_change_nothing_of_completions(starts, side, chunk):
    model, length = build(), 7
    rows = [tokens(1, length - i % 2, seed=i) for i in range(len(starts))]
    masks = [
        (torch.arange(row.shape[1]) >= min(start, row.shape[1] - 1)).long()[None]
        for row, start in zip(rows, starts, strict=True)
    ]
    alone = [{"input_ids": row, "completion_mask": mask} for row, mask in zip(rows, masks, strict=True)]
    batch = {name: torch.zeros(len(rows), length, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    batch["completion_mask"] = torch.ones(len(rows), length, dtype=torch.long)  # of padding it is not asked
    for i, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        where = slice(0, row.shape[1]) if side == "right" else slice(length - row.shape[1], length)
        batch["input_ids"][i, where], batch["attention_mask"][i, where] = row[0], 1
        batch["completion_mask"][i, where] = mask[0]
    plain = calibrate(model, alone, 100.0, tols=[0.2, 0.4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate_module, "_CHUNK", chunk)
        packed = calibrate(model, [batch], 100.0, tols=[0.2, 0.4])
    assert (packed.num_tokens, packed.num_sequences) == (plain.num_tokens, plain.num_sequences)
    for one, other in zip(plain.curve, packed.curve, strict=True):
        assert one.mean_depth == other.mean_depth
        assert one.kl == pytest.approx(other.kl, rel=1e-3, abs=1e-6)


def test_a_completion_mask_of_another_shape_or_without_a_completion_is_refused():
    batch = {"input_ids": tokens(2, 5), "completion_mask": torch.ones(2, 4)}
    with pytest.raises(ValueError, match=r"a completion_mask of \(2, 4\): expected the same"):
        calibrate(build(), [batch], 1.0)
    with pytest.raises(ValueError, match="hold no token that counts"):
        calibrate(build(), [{**batch, "completion_mask": torch.zeros(2, 5)}], 1.0)


def test_a_single_sequence_has_no_standard_error():
    assert math.isnan(calibrate(build(), [tokens(1, 9)], 100.0).curve[0].kl_se)


def test_the_model_is_left_as_it_was_and_the_result_is_saved_with_it(tmp_path):
    model = build(num_loops=2).train()
    found = calibrate(model, [tokens(3, 9)], 100.0)
    assert model.training
    assert model.depth_policy == FixedDepth(2)
    assert all(p.grad is None for p in model.parameters())
    model.depth_policy = found.policy
    model.save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).depth_policy == found.policy


def test_progress_is_reported_after_each_pass():
    seen = []
    calibrate(build(), [tokens(1, 3), tokens(2, 3)], 100.0, tols=TOLS, progress=lambda: seen.append(1))
    assert len(seen) == 2 * (1 + len(TOLS))


def test_a_target_out_of_reach_says_what_was_reached_and_what_to_do():
    with pytest.raises(ValueError, match=r"no tolerance keeps .* within 1e-06 nats.*tol=0.3.*HealingTrainer"):
        calibrate(build(), [tokens(3, 9)], 1e-6, tols=[0.3, 0.9])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_kl": 0.0}, "target_kl is 0.0: expected nats a token above 0"),
        ({"policy": KLExit()}, "has no tolerance to calibrate"),
        ({"tols": []}, "tols is empty"),
        ({"tols": [-1.0]}, "tol is -1.0"),
        ({"cap": 0}, "cap is 0"),
        ({"batches": []}, "hold no token"),
        ({"batches": [tokens(1, 3)[0]]}, r"expected the same \(B, T\)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        calibrate(**({"model": build(), "batches": [tokens(1, 3)], "target_kl": 0.1} | options))


def test_a_model_without_a_loop_is_refused():
    model = AutoModelForCausalLM.from_config(build().config.layer_config)
    with pytest.raises(ValueError, match="is no looped language model"):
        calibrate(model, [tokens(1, 3)], 0.1)
