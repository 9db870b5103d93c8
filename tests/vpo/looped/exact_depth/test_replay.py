"""One pass at the recorded depths is what was decoded token by token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.looped.tiny_looped import ADAPTIVE, FAMILIES, INJECTIONS, POLICIES, build, pad_left, tokens
from vpo.looped import FixedDepth, KLExit, Replay


def decode(model, ids, cuts, policy, mask=None):
    """Logits and cache of a pass in chunks that end at ``cuts``."""
    cache, logits, start = None, [], 0
    for end in [*cuts, ids.shape[1]]:
        seen = None if mask is None else mask[:, :end]
        out = model(ids[:, start:end], attention_mask=seen, past_key_values=cache, use_cache=True, depth_policy=policy)
        cache, start = out.past_key_values, end
        logits.append(out.logits)
    return torch.cat(logits, 1), cache


ONE_BY_ONE = range(1, 14)


DTYPES = [(torch.float32, 1e-5), (torch.float64, 1e-10)]


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES, ids=["fp32", "fp64"])
@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("name", POLICIES)
@torch.no_grad()
def test_decoding_is_one_pass_at_the_recorded_depths(name, injection, dtype, tolerance):
    model, ids, policy = build(injection=injection, halt_gate=True).to(dtype), tokens(3, 14), POLICIES[name]
    decoded, cache = decode(model, ids, ONE_BY_ONE, policy)
    replayed = model(ids, depth_policy=Replay.of(cache.trace), use_cache=False)
    assert (decoded - replayed.logits).abs().max() < tolerance
    assert torch.equal(replayed.loop_depths, cache.trace.depth)
    if name in ADAPTIVE:
        assert len(cache.trace.depth.unique()) > 1 or injection != "gate"  # there is something to replay
        capped = model(ids, depth_policy=FixedDepth(policy.cap), use_cache=False)
        assert (decoded - capped.logits).abs().max() > 1e-2  # and a trainer at fixed depth would be far off


@pytest.mark.parametrize("parts", [(0, 2, 2), (1, 1, 2), (2, 2, 0), (0, 4, 0), (1, 3, 0)])
@pytest.mark.parametrize("name", ["fixed_point", "kl", "act"])
@torch.no_grad()
def test_any_division_of_the_layers_is_replayed_exactly(name, parts):
    """With two coda layers a policy that reads loops out must freeze the coda's keys and values as well."""
    prelude, core, coda = parts
    model = build(prelude_layers=prelude, core_layers=core, coda_layers=coda, halt_gate=True).double()
    policy = {**ADAPTIVE, "kl": KLExit(0.05, cap=5)}[name]
    ids, mask = torch.cat([pad_left(tokens(1, 11), 3)[0], tokens(2, 14, 5)]), torch.ones(3, 14, dtype=torch.long)
    mask[0, :3] = 0
    decoded, cache = decode(model, ids, range(3, 14), policy, mask)
    whole = model(ids, attention_mask=mask, depth_policy=policy, use_cache=False)
    replayed = model(ids, attention_mask=mask, depth_policy=Replay.of(cache.trace), use_cache=False)
    assert torch.equal(whole.loop_depths, cache.trace.depth)
    assert (decoded - replayed.logits)[mask.bool()].abs().max() < 1e-10
    assert (decoded - whole.logits)[mask.bool()].abs().max() < 1e-10


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("planes", [None, 1, 2, 3])
@torch.no_grad()
def test_bounded_planes_are_replayed_exactly_too(planes, family):
    model, ids, policy = build(family, cache_planes=planes).double(), tokens(3, 14), ADAPTIVE["fixed_point"]
    decoded, cache = decode(model, ids, ONE_BY_ONE, policy)
    replayed = model(ids, depth_policy=Replay.of(cache.trace), use_cache=False)
    assert (decoded - replayed.logits).abs().max() < 1e-10
    assert max(layer.planes for layer in cache.layers) <= (planes or policy.cap)
    fixed, fixed_cache = decode(model, ids, ONE_BY_ONE, FixedDepth(5))
    assert (fixed - model(ids, num_loops=5, use_cache=False).logits).abs().max() < 1e-10
    assert max(layer.planes for layer in fixed_cache.layers) == (planes or 5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@given(
    name=st.sampled_from(list(POLICIES)),
    cuts=st.sets(st.integers(1, 13)),
    pads=st.integers(0, 5),
    mates=st.integers(0, 6),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
@torch.no_grad()
def test_a_row_gets_the_same_whatever_stands_beside_it(attention, name, cuts, pads, mates, seed):
    """Batch mates, left padding and prefill chunks change neither depths nor log-probabilities."""
    model, policy = build(halt_gate=True, attention=attention).double(), POLICIES[name]
    row = tokens(1, 14, seed)
    alone = model(row, depth_policy=policy, use_cache=False)
    padded, mask = pad_left(row, pads)
    others = tokens(mates, 14 + pads, seed + 1)
    ids, mask = torch.cat([padded, others]), torch.cat([mask, torch.ones_like(others)])
    logits, cache = decode(model, ids, sorted(cut + pads for cut in cuts), policy, mask)
    assert torch.equal(cache.trace.depth[:1, pads:], alone.loop_depths)
    assert torch.equal(cache.trace.damping[:1, pads:], alone.loop_damping)
    assert torch.equal(cache.trace.reason[:1, pads:], alone.loop_reasons)
    gap = (logits[0, pads:].log_softmax(-1) - alone.logits[0].log_softmax(-1)).abs().max()
    assert gap < 1e-10
    assert bool((cache.trace.depth[:1, :pads] == 1).all())  # padding runs one loop and reports no more


@torch.no_grad()
def test_freezing_the_state_alone_would_be_noticed():
    """What training code that gates only the state does: exited tokens' keys and values move on. It is not exact."""
    model, ids, policy = build().double(), tokens(3, 14), ADAPTIVE["fixed_point"]
    decoded, cache = decode(model, ids, ONE_BY_ONE, policy)
    import vpo.looped.active as active

    inner = active.Active.merge
    try:
        active.Active.merge = lambda self, frozen, new: (
            inner(self, frozen, new) if self.rows is not None else (new, new)
        )
        original = active.PACK_BELOW
        active.PACK_BELOW = 0.0
        broken = model(ids, depth_policy=Replay.of(cache.trace), use_cache=False)
    finally:
        active.Active.merge, active.PACK_BELOW = inner, original
    assert (decoded - broken.logits).abs().max() > 1e-3


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("name", ADAPTIVE)
@torch.no_grad()
def test_leaving_stopped_tokens_out_of_the_computation_changes_nothing(name, share, monkeypatch):
    """0 never packs, 1 packs as soon as a single token has stopped."""
    model, policy = build(halt_gate=True).double(), ADAPTIVE[name]
    ids, mask = torch.cat([pad_left(tokens(1, 9), 3)[0], tokens(5, 12, 2)]), torch.ones(6, 12, dtype=torch.long)
    mask[0, :3] = 0
    usual = model(ids, attention_mask=mask, depth_policy=policy, use_cache=False)
    monkeypatch.setattr("vpo.looped.active.PACK_BELOW", share)
    other = model(ids, attention_mask=mask, depth_policy=policy, use_cache=False)
    assert torch.equal(usual.loop_depths, other.loop_depths)
    assert (usual.logits - other.logits)[mask.bool()].abs().max() < 1e-10


@torch.no_grad()
def test_stopped_rows_are_not_computed():
    """Decoding a batch costs what its active rows cost: half of them stop early, and the core sees the other half."""
    model, ids = build(), tokens(8, 6)
    _, cache = decode(model, ids[:, :5], [], FixedDepth(2))
    depths = torch.tensor([1, 1, 1, 1, 1, 5, 5, 3])[:, None]
    sizes = []
    model.model.layers[1].register_forward_hook(lambda module, args, output: sizes.append(args[0].shape[0]))
    model(ids[:, 5:], past_key_values=cache, depth_policy=Replay(depths))
    assert sizes == [8, 3, 3, 2, 2]


@torch.no_grad()
def test_a_cache_may_hold_tokens_of_different_policies_and_says_so():
    model, ids = build(halt_gate=True).double(), tokens(2, 9)
    cache, parts, depths = None, [], []
    for (start, end), name in zip([(0, 4), (4, 6), (6, 9)], ["fixed_point", "act", "fixed"], strict=True):
        out = model(ids[:, start:end], past_key_values=cache, use_cache=True, depth_policy=POLICIES[name])
        cache, parts = out.past_key_values, [*parts, out.logits]
        depths.append(out.loop_depths)
    assert torch.equal(cache.trace.depth, torch.cat(depths, 1))
    assert cache.trace.policy is None
    assert torch.equal(cache.past_depth(2, ids.device), cache.trace.depth.amax(1))


@torch.no_grad()
def test_a_cache_follows_its_rows_through_every_change():
    model, ids, policy = build().double(), tokens(4, 10), ADAPTIVE["damped"]
    _, cache = decode(model, ids, [4], policy)
    order = torch.tensor([2, 0, 3, 3])
    cache.reorder_cache(order)
    cache.crop(-3)
    cache.batch_select_indices(torch.tensor([True, False, True, True]))
    cache.batch_repeat_interleave(2)
    rows = order[torch.tensor([0, 2, 3])].repeat_interleave(2)
    assert cache.get_seq_length() == 7
    out = model(ids[rows, 7:], past_key_values=cache, depth_policy=policy)
    fresh = model(ids[rows], depth_policy=policy, use_cache=False)
    assert torch.equal(out.past_key_values.trace.depth, fresh.loop_depths)
    assert (out.logits - fresh.logits[:, 7:]).abs().max() < 1e-10
