"""The heart of it: token-by-token decoding at chosen depths is one parallel pass at the recorded depths.

And what a token gets depends on nothing but the tokens to its left: not on batch mates, padding, chunks or beams.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.looped.tiny_looped import ADAPTIVE, FAMILIES, INJECTIONS, POLICIES, build, pad_left, tokens
from vpo.looped import FixedDepth, FixedPoint, HaltReason, KLExit, LoopedCache, RandomDepth, Replay


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


@pytest.mark.parametrize("planes", [None, 1, 2])
@pytest.mark.parametrize("name", ["fixed", "fixed_point"])
def test_gradients_through_a_cache_are_those_without_it(name, planes):
    """In evaluation mode a model returns a cache by default; a loss taken there must not lose its gradient."""
    model, ids = build(cache_planes=planes).double(), tokens(2, 8)
    weight = torch.randn(2, 8, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for use_cache in (False, True):
        model.zero_grad()
        (model(ids, depth_policy=POLICIES[name], use_cache=use_cache).logits * weight).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert (gradients[0] - gradients[1]).abs().max() < 1e-10
    # And in two chunks, where the gradient stops at the cache: it runs, whatever is trained.
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is model.model.layers[1].self_attn.q_proj.weight)
    cache = model(ids[:, :5], depth_policy=POLICIES[name], use_cache=True).past_key_values
    second = model(ids[:, 5:], past_key_values=cache, depth_policy=POLICIES[name])
    second.logits.sum().backward()


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


@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointing_makes_every_pass_of_the_core_again_in_the_backward_pass(checkpointing):
    model, ids = build().train(), tokens(3, 7)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    calls = []
    model.model.layers[1].mlp.register_forward_hook(lambda *_: calls.append(1))
    depths = torch.tensor([[4], [2], [3]]).expand(-1, 7)
    loss = model(ids, depth_policy=Replay(depths), use_cache=False).logits.sum()
    assert len(calls) == 4
    loss.backward()
    assert len(calls) == (8 if checkpointing else 4)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("planes", [None, 2])
def test_gradients_at_mixed_depths_are_those_of_each_row_at_its_own_depth(planes, checkpointing):
    model, ids = build(cache_planes=planes).double().train(), tokens(6, 9)
    depths = torch.tensor([1, 2, 3, 4, 1, 5])
    weight = torch.randn(6, 9, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat(
            [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in model.parameters()]
        )

    apart = sum(
        (model(ids[i : i + 1], num_loops=int(d), use_cache=False).logits * weight[i : i + 1]).sum()
        for i, d in enumerate(depths)
    )
    expected = gradients(apart)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    together = model(ids, depth_policy=Replay(depths[:, None].expand(-1, 9)), use_cache=False)
    assert (gradients((together.logits * weight).sum()) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("name", [*POLICIES, "random", "replay"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("injection", INJECTIONS)
def test_gradients_reach_every_core_parameter_under_every_policy(injection, checkpointing, name):
    model, ids = build(injection=injection, halt_gate=True, scale_control="norm").train(), tokens(4, 9)
    depths = torch.randint(1, 5, (4, 9), generator=torch.Generator().manual_seed(0))
    extra = {"random": RandomDepth(1, 4, grad_loops=2), "replay": Replay(depths)}
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    out = model(ids, labels=ids, use_cache=False, depth_policy={**POLICIES, **extra}[name])
    out.loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The gate steers by comparison, which has no gradient, except where ACT averages with it.
    expected = [] if name == "act" else ["model.halt_gate.weight", "model.halt_gate.bias"]
    assert silent == expected
    assert all(p.grad is not None for p in model.parameters())  # zero, not absent: DDP waits for every parameter


def test_truncated_backpropagation_keeps_the_values_and_cuts_the_gradient():
    model, ids = build().double().train(), tokens(3, 7)
    torch.manual_seed(4)
    whole = model(ids, depth_policy=RandomDepth(3, 6), use_cache=False)
    torch.manual_seed(4)
    cut = model(ids, depth_policy=RandomDepth(3, 6, grad_loops=1), use_cache=False)
    assert torch.equal(whole.logits, cut.logits)
    embedding = model.model.embed_tokens.weight
    (full,) = torch.autograd.grad(whole.logits.sum(), embedding)
    (short,) = torch.autograd.grad(cut.logits.sum(), embedding)
    assert (full - short).abs().max() > 1e-3
    # By hand: the last loop of each row with the state before it as a constant.
    depths = cut.loop_depths[:, 0].tolist()
    expected = torch.zeros_like(embedding)
    for row, depth in enumerate(depths):
        (one,) = torch.autograd.grad(_last_loop_only(model, ids[row : row + 1], depth).sum(), embedding)
        expected += one
    assert torch.allclose(short, expected, atol=1e-10)


def _last_loop_only(model, ids, depth):
    """Logits after ``depth`` loops with the gradient of the last loop alone, through the model's own parts."""
    backbone = model.model
    position_ids = torch.arange(ids.shape[1])[None]
    rotary = backbone.rotary_emb(backbone.embed_tokens(ids), position_ids=position_ids)
    inputs = {"position_embeddings": rotary, "position_ids": position_ids, "attention_mask": None}
    signal = backbone.layers[0](backbone.embed_tokens(ids), **inputs)
    state = signal
    for loop in range(depth):
        with torch.set_grad_enabled(loop == depth - 1):
            state = backbone.injection(state, signal) if loop else signal
            for layer in backbone.layers[1:3]:
                state = layer(state, **inputs)
    return model.lm_head(backbone.norm(backbone.layers[3](state, **inputs)))


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
