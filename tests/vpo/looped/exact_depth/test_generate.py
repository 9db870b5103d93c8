"""Ways to generate at chosen depths agree with the plain one."""

from __future__ import annotations

import pytest
import torch

from tests.vpo.looped.tiny_looped import ADAPTIVE, build, pad_left, tokens
from vpo.looped import FixedDepth, FixedPoint, HaltReason, LoopedCache, Replay


@torch.no_grad()
def test_beams_carry_their_depths_along():
    """The cache holds the six beams as they stood before the last token; alone, each gets the depths in the cache."""
    model, ids = build(), tokens(2, 5)
    model.depth_policy = ADAPTIVE["fixed_point"]
    options = {"max_new_tokens": 6, "num_beams": 3, "do_sample": False, "eos_token_id": None}
    beams = []
    watch = model.register_forward_pre_hook(lambda m, a, k: beams.append(k["input_ids"]), with_kwargs=True)
    inner = LoopedCache.reorder_cache

    def reorder(cache, order):  # the beams that the cache's rows stand for move with it
        beams[:] = [torch.cat(beams, 1)[order]]
        inner(cache, order)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopedCache, "reorder_cache", reorder)
        with_cache = model.generate(ids, return_dict_in_generate=True, **options)
    watch.remove()
    trace = with_cache.past_key_values.trace
    whole = torch.cat(beams, 1)
    assert whole.shape == trace.depth.shape == (6, 10)
    assert torch.equal(with_cache.sequences, model.generate(ids, use_cache=False, **options))
    assert torch.equal(model(whole, use_cache=False).loop_depths, trace.depth)
    assert len(trace.depth.unique()) > 1


@pytest.mark.parametrize("way", ["prompt_lookup", "assistant", "return_sequences", "continued"])
@torch.no_grad()
def test_ways_to_generate_agree_with_the_plain_one(way):
    model, ids = build().double(), tokens(1, 6).repeat(1, 2)
    model.depth_policy = ADAPTIVE["fixed_point"]
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    plain = model.generate(ids, **options)
    if way == "prompt_lookup":
        other = model.generate(ids, prompt_lookup_num_tokens=3, **options)
    elif way == "assistant":
        other = model.generate(ids, assistant_model=build(seed=1).double(), **options)
    elif way == "return_sequences":
        other = model.generate(ids, num_beams=2, num_return_sequences=2, **options)[:1]
        plain = model.generate(ids, num_beams=2, **options)
    else:
        first = model.generate(ids, return_dict_in_generate=True, **{**options, "max_new_tokens": 3})
        other = model.generate(
            first.sequences, past_key_values=first.past_key_values, **{**options, "max_new_tokens": 5}
        )
    assert torch.equal(plain, other)


@torch.no_grad()
def test_a_sequence_that_has_ended_gets_one_loop_and_holds_nobody_up():
    """Row 0 ends at once; what the others generate, and how deep, is what they do alone."""
    model, ids = build().double(), tokens(3, 6)
    model.depth_policy = FixedDepth(4)
    first = int(model(ids[:1]).logits[0, -1].argmax())
    options = {"max_new_tokens": 7, "do_sample": False, "eos_token_id": first, "pad_token_id": first}
    out = model.generate(ids, return_dict_in_generate=True, **options)
    depth = out.past_key_values.trace.depth
    assert out.sequences[0, 6:].eq(first).all()
    assert depth[0, :7].eq(4).all()  # the prompt and the end token itself
    assert depth[0, 7:].eq(1).all()
    for row in (1, 2):
        alone = model.generate(ids[row : row + 1], return_dict_in_generate=True, **options)
        length = alone.sequences.shape[1]
        assert torch.equal(alone.sequences[0], out.sequences[row, :length])
        assert torch.equal(alone.past_key_values.trace.depth[0], depth[row, : length - 1])
    sizes = []
    model.depth_policy = FixedPoint(tol=1e-9, cap=4, patience=0)
    model.model.layers[1].register_forward_hook(lambda module, args, output: sizes.append(args[0].shape[:2]))
    first = int(model(ids[:1]).logits[0, -1].argmax())
    sizes.clear()
    model.generate(ids[:1].repeat(4, 1), **{**options, "eos_token_id": [first], "min_new_tokens": None})
    assert (4, 1) in sizes or len(sizes) == 4  # all four end together, and generation with them


@torch.no_grad()
def test_a_policy_that_reads_out_may_not_come_back_to_tokens_that_were_not():
    model, ids = build().double(), tokens(2, 8)
    cache = model(ids[:, :3], depth_policy=ADAPTIVE["kl"], use_cache=True).past_key_values
    model(ids[:, 3:5], past_key_values=cache, depth_policy=FixedDepth(3))
    with pytest.raises(ValueError, match="not read out loop by loop"):
        model(ids[:, 5:], past_key_values=cache, depth_policy=ADAPTIVE["kl"])


@torch.no_grad()
def test_generate_replays_exactly_with_padding_and_sampling():
    model = build().double()
    model.depth_policy = FixedPoint(tol=0.25, cap=6)
    ids, mask = torch.cat([pad_left(tokens(1, 4), 3)[0], tokens(2, 7, 5)]), torch.ones(3, 7, dtype=torch.long)
    mask[0, :3] = 0
    torch.manual_seed(0)
    out = model.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        max_new_tokens=12,
        eos_token_id=None,
        output_logits=True,
        return_dict_in_generate=True,
    )
    trace = out.past_key_values.trace
    fed, whole = out.sequences[:, :-1], torch.cat([mask, torch.ones(3, 11, dtype=torch.long)], 1)
    replayed = model(fed, attention_mask=whole, depth_policy=Replay.of(trace), use_cache=False).logits[:, 6:]
    assert (torch.stack(out.logits, 1) - replayed).abs().max() < 1e-5  # generate hands its logits out in fp32
    assert trace.share(HaltReason.CONVERGED) > 0.3
    assert len(trace.depth.unique()) > 2
