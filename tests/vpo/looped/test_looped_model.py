"""The looped policy as an ordinary Hugging Face model, and the cache that holds one plane a loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    StaticCache,
    Trainer,
    TrainingArguments,
)

from tests.vpo.looped.tiny_looped import ADAPTIVE, FAMILIES, SIZES, build, pad_left, tokens
from vpo.looped import (
    FixedDepth,
    FixedPoint,
    KLExit,
    LearnedGate,
    LoopedCache,
    LoopedConfig,
    LoopedForCausalLM,
    RandomDepth,
    Replay,
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prelude_layers": 2}, "add up to 5, but layer_config.num_hidden_layers is 4"),
        ({"prelude_layers": 3, "core_layers": 0}, "at least one core layer"),
        ({"num_loops": 0}, "num_loops is 0: expected 1 or more"),
        ({"retention_init": 1.0}, "strictly between 0 and 1"),
        ({"learned_positions": -1}, "expected 0"),
        ({"injection": "magic"}, "injection.*magic"),
        ({"scale_control": "magic"}, "scale_control.*magic"),
        ({"cache_planes": 0}, "cache_planes is 0: expected 1 or more"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LoopedConfig(layer_config=LlamaConfig(**SIZES), **options)


def test_sliding_windows_and_unknown_families_are_refused():
    sliding = Qwen2Config(**{**SIZES, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1})
    with pytest.raises(ValueError, match="only full attention can be looped"):
        LoopedConfig(layer_config=sliding)
    with pytest.raises(ValueError, match="only full attention can be looped"):
        LoopedConfig(layer_config=MistralConfig(**SIZES, sliding_window=4))
    LoopedConfig(layer_config=MistralConfig(**SIZES, sliding_window=None))
    with pytest.raises(ValueError, match=r"has logits_scaling=.*: it rescales embeddings or logits"):
        LoopedConfig(layer_config=GraniteConfig(**SIZES, logits_scaling=8.0))
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
    with pytest.raises(ValueError, match=r"num_loops=2 and depth_policy=FixedDepth.*expected one of them"):
        model(ids, num_loops=2, depth_policy=FixedDepth(3))
    with pytest.raises(ValueError, match=r"depths of shape \(1, 5\) on \(1, 6\) tokens: expected one depth a token"):
        model(ids, depth_policy=Replay(torch.ones(1, 5, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"has shape .* and type torch.float32: expected integers"):
        Replay(torch.ones(1, 6))
    with pytest.raises(ValueError, match="depths holds 0: every token runs at least 1 loop"):
        model(ids, depth_policy=Replay(torch.zeros(1, 6, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"damping has shape \(1, 5\), depths \(1, 6\)"):
        Replay(torch.ones(1, 6, dtype=torch.long), torch.ones(1, 5, dtype=torch.long))
    for policy in (LearnedGate(), ADAPTIVE["act"]):
        with pytest.raises(ValueError, match=r"LoopedConfig\(halt_gate=True\)"):
            model.depth_policy = policy
        with pytest.raises(ValueError, match=r"LoopedConfig\(halt_gate=True\)"):
            model(ids, depth_policy=policy)
    with pytest.raises(ValueError, match="called without a head"):
        model.model(ids, depth_policy=KLExit())
    cache = model(ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="the cache holds 1 sequences, and 2 came in"):
        model(tokens(2, 1), past_key_values=cache)
    with pytest.raises(ValueError, match="not read out loop by loop"):
        model(ids[:, :1], past_key_values=cache, depth_policy=KLExit())
    with pytest.raises(ValueError, match="without a cache"):
        model(ids[:, :1], past_key_values=cache, output_loop_states=True)
    with pytest.raises(ValueError, match="1 <= low <= high"):
        RandomDepth(3, 2)


@torch.no_grad()
@pytest.mark.parametrize("kind", [DynamicCache, StaticCache])
def test_a_cache_with_one_version_a_layer_is_refused(kind):
    model, ids = build(num_loops=2), tokens(1, 4)
    cache = kind(config=model.config) if kind is DynamicCache else kind(config=model.config, max_cache_len=16)
    with pytest.raises(ValueError, match=rf"a {kind.__name__}, which keeps one version"):
        model(ids, past_key_values=cache)
    with pytest.raises(ValueError, match="cache_implementation is 'static'"):
        model.generate(ids, cache_implementation="static", max_new_tokens=2)
    plain = AutoModelForCausalLM.from_config(model.config.layer_config)
    with pytest.raises(TypeError, match="give an ordinary model its own DynamicCache"):
        plain(ids, past_key_values=LoopedCache(model.config))


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


def test_tuples_and_what_is_not_there(tmp_path):
    model, ids = build(), tokens(1, 4)
    assert torch.equal(model(ids, return_dict=False)[0], model(ids).logits)
    assert torch.equal(model(ids, labels=ids, return_dict=False)[0], model(ids, labels=ids).loss)
    for unknown in ("output_hidden_states", "output_attentions"):
        with pytest.raises(ValueError, match=f"{unknown}=True is not supported: see output_loop_states"):
            model(ids, **{unknown: True})
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", disable_tqdm=True)
    rows = [{"input_ids": ids[0], "labels": ids[0]} for _ in range(2)]
    predicted = Trainer(model, arguments).predict(rows).predictions
    assert predicted.shape == (2, 4, 31)  # the logits alone, as of any causal LM


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself, for flex attention
@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
@torch.no_grad()
def test_every_attention_implementation_gives_the_same(attention):
    # flex attention on a CPU is wrong below 16 tokens, of plain transformers models too
    model, ids = build(), torch.cat([pad_left(tokens(1, 13), 3)[0], tokens(3, 16, 4)])
    mask = (ids != 0).long()
    policy = FixedPoint(tol=0.3, cap=5)
    reference = model(ids, attention_mask=mask, depth_policy=policy, use_cache=False)
    model.set_attn_implementation(attention)
    other = model(ids, attention_mask=mask, depth_policy=policy, use_cache=False)
    assert torch.equal(reference.loop_depths, other.loop_depths)
    assert (reference.logits - other.logits)[mask.bool()].abs().max() < 1e-4


def test_adapters_learn_through_the_loop(tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    base = build().train()
    base.depth_policy = FixedPoint(tol=0.3, cap=5)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False))
    ids = tokens(2, 7)
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    assert all(p.grad.abs().sum() > 0 for n, p in model.named_parameters() if "lora" in n)
    expected = model.eval()(input_ids=ids).logits
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(build(), tmp_path).eval()
    loaded.base_model.model.depth_policy = FixedPoint(tol=0.3, cap=5)
    assert torch.allclose(loaded(input_ids=ids).logits, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch's own compiler
@torch.no_grad()
def test_a_compiled_core_gives_the_same():
    model, ids = build(), tokens(3, 12)
    policy = FixedPoint(tol=0.3, cap=5)
    reference = model(ids, depth_policy=policy, use_cache=False)
    model.model.compile_core(dynamic=True)
    compiled = model(ids, depth_policy=policy, use_cache=False)
    assert torch.equal(reference.loop_depths, compiled.loop_depths)
    assert torch.allclose(reference.logits, compiled.logits, atol=1e-4)
    options = {"max_new_tokens": 6, "do_sample": False, "depth_policy": policy, "eos_token_id": None}
    assert torch.equal(model.generate(ids, **options), build().generate(ids, **options))
