"""Configurations and calls that make no sense."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    StaticCache,
)

from tests.vpo.looped.tiny_looped import ADAPTIVE, SIZES, build, tokens
from vpo.looped import (
    FixedDepth,
    KLExit,
    LearnedGate,
    LoopedCache,
    LoopedConfig,
    RandomDepth,
    Replay,
)


def test_positions_that_cannot_be_counted_are_asked_for():
    model, ids = build(learned_positions=20), tokens(1, 4)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()
    with pytest.raises(ValueError, match="pass position_ids"):
        model(ids, attention_mask=mask)
    positions = torch.arange(4).unsqueeze(0)
    assert torch.allclose(model(ids, attention_mask=mask, position_ids=positions).logits, model(ids).logits, atol=1e-5)


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
