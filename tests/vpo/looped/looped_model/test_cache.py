"""Its cache: decoding with it is the forward without it, whatever stands beside a row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vpo.looped.tiny_looped import ADAPTIVE, FAMILIES, build, tokens
from vpo.looped import (
    FixedDepth,
    cache_bytes,
)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_loops", [1, 2, 4])
@torch.no_grad()
def test_cached_decoding_equals_the_uncached_forward(family, num_loops):
    model, ids = build(family), tokens(3, 12)
    whole = model(ids, num_loops=num_loops, use_cache=False).logits
    cache, parts = None, []
    for start, end in [(0, 5), (5, 6), (6, 9), (9, 12)]:  # one chunk of prefill, one of decode, two more chunks
        out = model(ids[:, start:end], past_key_values=cache, use_cache=True, num_loops=num_loops)
        cache, parts = out.past_key_values, [*parts, out.logits]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)
    assert [layer.planes for layer in cache.layers] == [1, num_loops, num_loops, 1]  # a plane for each run of the core


@torch.no_grad()
def test_one_plane_for_all_loops_would_be_noticed():
    """The test above can fail: what vLLM's transformers backend does with a weight-tied loop gives other logits."""
    model, ids = build(), tokens(2, 10)
    whole = model(ids, use_cache=False).logits
    first = model(ids[:, :9], use_cache=True)
    for layer in first.past_key_values.layers[1:3]:
        layer.stored[0].copy_(layer.stored[1])
    second = model(ids[:, 9:], past_key_values=first.past_key_values, use_cache=True).logits
    assert (second - whole[:, 9:]).abs().max() > 1e-3


@given(
    num_pads=st.integers(1, 6),
    mates=st.integers(0, 3),
    learned=st.booleans(),
    seed=st.integers(0, 5),
    loops=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
@torch.no_grad()
def test_a_row_does_not_depend_on_batch_mates_or_left_padding(num_pads, mates, learned, seed, loops):
    model, row = build(learned_positions=20 if learned else 0), tokens(1, 6, seed)
    alone = model(row, num_loops=loops, use_cache=False).logits[0]
    others = tokens(mates, 6 + num_pads, seed + 100)
    padded = torch.cat([torch.zeros(1, num_pads, dtype=torch.long), row], dim=1)
    mask = torch.cat([torch.zeros(1, num_pads, dtype=torch.long), torch.ones(1, 6, dtype=torch.long)], dim=1)
    together = model(
        torch.cat([padded, others]),
        attention_mask=torch.cat([mask, torch.ones_like(others)]),
        num_loops=loops,
        use_cache=False,
    ).logits[0, num_pads:]
    assert torch.allclose(together, alone, atol=1e-5, rtol=0)


def test_generate_is_the_same_with_cache_without_it_and_with_left_padding():
    model, row = build(learned_positions=40), tokens(1, 6)
    options = {"max_new_tokens": 10, "do_sample": False, "num_loops": 3}
    plain = model.generate(row, **options)
    assert torch.equal(plain, model.generate(row, use_cache=False, **options))
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), row], dim=1)
    mask = (padded != 0).long()
    assert torch.equal(model.generate(padded, attention_mask=mask, **options)[:, 9:], plain[:, 6:])


def test_beam_search_reorders_every_plane():
    model, ids = build(), tokens(2, 5)
    options = {"max_new_tokens": 6, "num_beams": 3, "do_sample": False}
    assert torch.equal(model.generate(ids, **options), model.generate(ids, use_cache=False, **options))


@pytest.mark.parametrize(
    ("planes", "policy"), [(None, FixedDepth(3)), (2, FixedDepth(5)), (None, ADAPTIVE["fixed_point"])]
)
@torch.no_grad()
def test_the_memory_of_a_cache_is_what_the_formula_says(planes, policy):
    model, ids = build(cache_planes=planes), tokens(3, 70)
    cache = model(ids[:, :50], depth_policy=policy, use_cache=True).past_key_values
    for column in range(50, 70):
        model(ids[:, column : column + 1], past_key_values=cache, depth_policy=policy)
    deepest = min(int(cache.trace.depth.max()), planes or 99)
    capacity = cache.layers[0].capacity
    assert 70 <= capacity <= 128
    assert cache.nbytes == cache_bytes(model.config, batch=3, capacity=capacity, planes=deepest, itemsize=4)
