"""The looped policy as an ordinary Hugging Face model, and the cache that holds one plane a loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config, StaticCache

from vpo.looped import FixedDepth, LoopedConfig, LoopedForCausalLM, RandomDepth

SIZES = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}


def build(family: str = "llama", seed: int = 0, **options) -> LoopedForCausalLM:
    torch.manual_seed(seed)
    sizes = {k: v for k, v in SIZES.items() if k != "head_dim" or family != "qwen2"}
    model = LoopedForCausalLM(LoopedConfig(layer_config=FAMILIES[family](**sizes), **options)).eval()
    for parameter in model.parameters():  # default init is so small that every loop looks alike
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def tokens(rows: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(seed))


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
    assert len(cache.layers) == 2 + 2 * num_loops  # prelude, coda, and a plane for each run of each core layer


@torch.no_grad()
def test_one_plane_for_all_loops_would_be_noticed():
    """The test above can fail: what vLLM's transformers backend does with a weight-tied loop gives other logits."""
    model, ids = build(), tokens(2, 10)
    whole = model(ids, use_cache=False).logits
    first = model(ids[:, :9], use_cache=True)
    first.past_key_values.layers[2:4] = first.past_key_values.layers[4:6]
    second = model(ids[:, 9:], past_key_values=first.past_key_values, use_cache=True).logits
    assert (second - whole[:, 9:]).abs().max() > 1e-3


@torch.no_grad()
def test_loops_change_the_output_and_one_loop_is_the_plain_stack():
    model, ids = build(), tokens(2, 7)
    outputs = [model(ids, num_loops=n).logits for n in (1, 2, 3)]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2
    assert (outputs[1] - outputs[2]).abs().max() > 1e-2
    plain = AutoModelForCausalLM.from_config(model.config.layer_config).eval()
    plain.model.embed_tokens, plain.model.layers = model.model.embed_tokens, model.model.layers
    plain.model.norm, plain.lm_head = model.model.norm, model.lm_head
    assert torch.allclose(plain(ids).logits, outputs[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_closed_gate_makes_every_loop_count_equal_to_one_loop():
    model, ids = build(), tokens(2, 7)
    torch.nn.init.constant_(model.model.injection.logit, -60.0)
    assert torch.allclose(model(ids, num_loops=4).logits, model(ids, num_loops=1).logits, atol=1e-5, rtol=0)


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


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_and_loading_by_the_auto_class_gives_the_same_model(family, tmp_path):
    model, ids = build(family, num_loops=3, learned_positions=20), tokens(2, 6)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is LoopedForCausalLM
    assert loaded.depth_policy == FixedDepth(3)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_a_fixed_depth_is_saved_with_the_model(tmp_path):
    model = build(num_loops=2)
    model.depth_policy = FixedDepth(4)
    model.save_pretrained(tmp_path)
    assert AutoModelForCausalLM.from_pretrained(tmp_path).depth_policy == FixedDepth(4)
    model.depth_policy = RandomDepth(1, 3)  # for training only: what is saved stays the fixed one
    assert model.config.num_loops == 4


def test_positions_that_cannot_be_counted_are_asked_for():
    model, ids = build(learned_positions=20), tokens(1, 4)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()
    with pytest.raises(ValueError, match="pass position_ids"):
        model(ids, attention_mask=mask)
    positions = torch.arange(4).unsqueeze(0)
    assert torch.allclose(model(ids, attention_mask=mask, position_ids=positions).logits, model(ids).logits, atol=1e-5)


def test_tied_embeddings_stay_tied_through_saving(tmp_path):
    model = LoopedForCausalLM(LoopedConfig(layer_config=LlamaConfig(**SIZES, tie_word_embeddings=True)))
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("policy", [FixedDepth(3), RandomDepth(2, 3)])
def test_gradients_reach_every_parameter(checkpointing, policy):
    model = build(learned_positions=20).train()
    model.depth_policy = policy
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = tokens(4, 8)
    model(ids, labels=ids, use_cache=False).loss.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_checkpointing_does_not_change_the_gradients():
    grads = []
    for checkpointing in (False, True):
        model = build().train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        ids = tokens(2, 8)
        model(ids, labels=ids, use_cache=False).loss.backward()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.allclose(*grads, atol=1e-6)


def test_random_depth_gives_each_row_the_result_of_its_own_fixed_depth():
    model, ids = build(), tokens(6, 7)
    model.depth_policy = RandomDepth(1, 4)
    torch.manual_seed(3)
    depths = model.depth_policy.draw(6, torch.device("cpu"))
    torch.manual_seed(3)
    mixed = model(ids, use_cache=False).logits
    assert len(set(depths.tolist())) > 1
    for row, depth in enumerate(depths.tolist()):
        assert torch.allclose(
            mixed[row], model(ids[row : row + 1], num_loops=depth, use_cache=False).logits[0], atol=1e-5
        )


def test_retention_stays_strictly_between_zero_and_one_and_starts_where_it_was_set():
    model = LoopedForCausalLM(LoopedConfig(layer_config=LlamaConfig(**SIZES), retention_init=0.2))
    assert torch.allclose(model.model.injection.retention, torch.full((32,), 0.2))
    torch.nn.init.constant_(model.model.injection.logit, 10.0)
    assert (model.model.injection.retention < 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prelude_layers": 2}, "add up to 5, but layer_config.num_hidden_layers is 4"),
        ({"prelude_layers": 3, "core_layers": 0}, "at least one core layer"),
        ({"num_loops": 0}, "num_loops is 0: expected 1 or more"),
        ({"retention_init": 1.0}, "strictly between 0 and 1"),
        ({"learned_positions": -1}, "expected 0"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LoopedConfig(layer_config=LlamaConfig(**SIZES), **options)


def test_sliding_windows_and_unknown_families_are_refused():
    sliding = Qwen2Config(**{**SIZES, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1})
    with pytest.raises(ValueError, match="only full attention can be looped"):
        LoopedConfig(layer_config=sliding)
    with pytest.raises(ValueError, match="does not know"):
        LoopedConfig(layer_config={"model_type": "no-such-family"})


def test_calls_that_cannot_be_right_are_refused():
    model, ids = build(learned_positions=8), tokens(1, 6)
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="position 8 is past the 8 learned ones"):
        model(tokens(1, 9))
    with pytest.raises(ValueError, match="num_loops is 0"):
        model(ids, num_loops=0)
    model.depth_policy = RandomDepth(1, 2)
    with pytest.raises(ValueError, match="draws a depth for each call"):
        model.generate(ids, max_new_tokens=2)
    with pytest.raises(ValueError, match="1 <= low <= high"):
        RandomDepth(3, 2)


@torch.no_grad()
def test_a_cache_of_fixed_size_that_is_too_small_is_refused():
    model, ids = build(num_loops=2), tokens(1, 4)
    cache = StaticCache(config=model.config, max_cache_len=16)
    assert torch.allclose(model(ids, past_key_values=cache).logits, model(ids).logits, atol=1e-5)
    with pytest.raises(ValueError, match="has 6 planes"):
        model(ids, past_key_values=StaticCache(config=model.config, max_cache_len=16), num_loops=3)
