"""A pretrained model becomes a looped one, and computes what it computed before."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
)

from tests.smollm2 import smollm2_fixture  # noqa: F401
from tests.vpo.looped.convert.sources import FAMILIES, source
from vpo.looped import FixedDepth, FixedPoint, LoopedForCausalLM, Replay
from vpo.looped.convert import convert, logit_gap
from vpo.looped.parts import Parts

INJECTIONS = ["gate", "diagonal", "concat", "add", "none"]


def tokens(rows: int = 2, length: int = 9, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("injection", INJECTIONS)
@torch.no_grad()
def test_one_loop_gives_the_logits_of_the_source(family, injection):
    model, ids = source(family), tokens()
    looped = convert(model, 2, 3, 1, injection=injection, retention_init=0.6)
    assert torch.allclose(looped(ids, use_cache=False).logits, model(ids).logits, atol=1e-5, rtol=0)
    assert torch.allclose(looped(ids, num_loops=1).logits, model(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["llama", "tied_llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("injection", ["gate", "diagonal", "concat"])
@pytest.mark.parametrize("num_loops", [2, 4])
@torch.no_grad()
def test_without_retention_every_loop_count_gives_the_logits_of_the_source(family, injection, num_loops):
    model, ids = source(family), tokens()
    looped = convert(model, 2, 3, 1, injection=injection, retention_init=1e-8)  # concat ignores the state as it is
    assert torch.allclose(looped(ids, num_loops=num_loops).logits, model(ids).logits, atol=1e-5, rtol=0)


@torch.no_grad()
def test_retention_makes_loops_count():
    """The test above can fail."""
    model, ids = source(), tokens()
    looped = convert(model, 2, 3, 1, retention_init=0.3)
    assert (looped(ids, num_loops=2).logits - model(ids).logits).abs().max() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_dropped_layers_leave_the_stack_of_the_rest(family):
    model, ids = source(family), tokens()
    looped = convert(model, [0], "2-3", [5], drop_rest=True)
    assert logit_gap(model, looped, Parts((0,), (2, 3), (5,)))[0] <= 1e-5
    assert looped.config.layer_config.num_hidden_layers == len(looped.model.layers) == 4
    assert [layer.self_attn.layer_idx for layer in looped.model.layers] == [0, 1, 2, 3]  # the cache counts on it
    assert (looped(ids).logits - model(ids).logits).abs().max() > 1e-2


def test_half_precision_stays_and_gives_the_same_logits(tmp_path):
    source().save_pretrained(tmp_path)
    model, ids = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16), tokens()
    looped = convert(model, 2, 3, 1)
    assert {p.dtype for p in looped.parameters()} == {torch.bfloat16} == {looped.config.dtype}
    assert looped.model.rotary_emb.inv_freq.dtype == torch.float32
    assert torch.equal(looped(ids).logits, model(ids).logits)


def test_rotary_frequencies_rounded_by_a_cast_are_no_obstacle():
    model = source().to(torch.bfloat16)
    assert model.model.rotary_emb.inv_freq.dtype == torch.bfloat16
    assert convert(model, 2, 3, 1).model.rotary_emb.inv_freq.dtype == torch.float32
    assert model.model.rotary_emb.inv_freq.dtype == torch.bfloat16


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_saving_and_loading_by_the_auto_class_gives_the_same_model(family, tmp_path):
    looped, ids = convert(source(family), [0], "2-3", [5], drop_rest=True, num_loops=3), tokens()
    looped.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is LoopedForCausalLM
    assert loaded.depth_policy == FixedDepth(3)
    assert torch.equal(loaded(ids).logits, looped(ids).logits)
    assert loaded.generation_config.to_diff_dict() == looped.generation_config.to_diff_dict()


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_the_sources_with_cache_and_without(family):
    model = source(family)
    looped = convert(model, 2, 3, 1, retention_init=1e-8)
    options = {"max_new_tokens": 12, "do_sample": False}
    expected = model.generate(tokens(), **options)
    for num_loops in (1, 3):
        for use_cache in (True, False):
            written = looped.generate(tokens(), use_cache=use_cache, num_loops=num_loops, **options)
            assert torch.equal(written, expected)


def test_special_tokens_generation_settings_and_attention_are_kept():
    model = source()
    model.generation_config.update(temperature=0.3, do_sample=True, eos_token_id=[2, 5])
    model.set_attn_implementation("eager")
    looped = convert(model, 2, 3, 1)
    assert (looped.config.pad_token_id, looped.config.bos_token_id, looped.config.eos_token_id) == (0, 1, 2)
    assert looped.generation_config.to_dict() == model.generation_config.to_dict()
    looped.generation_config.temperature = 0.9
    assert model.generation_config.temperature == 0.3
    assert looped.model.layers[0].self_attn.config._attn_implementation == "eager"


@pytest.mark.parametrize("family", ["llama", "tied_llama"])
def test_embeddings_are_tied_as_they_were(family):
    looped = convert(source(family), 2, 3, 1)
    assert (looped.lm_head.weight is looped.model.embed_tokens.weight) == (family == "tied_llama")


def test_the_source_is_left_as_it_was():
    model = source().train()
    before, config = copy.deepcopy(model.state_dict()), model.config.to_dict()
    looped = convert(model, [0], "2-3", [5], drop_rest=True)
    with torch.no_grad():
        for parameter in looped.parameters():
            parameter.zero_()
    assert model.training
    assert len(model.model.layers) == 6
    assert model.config.to_dict() == config
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_what_is_new_starts_where_it_should():
    looped = convert(source(), 2, 3, 1, retention_init=0.2, halt_gate=True)
    assert torch.allclose(looped.model.injection.retention, torch.full((32,), 0.2))
    assert looped.model.halt_gate.bias.item() == -2.0


def test_gradients_reach_every_parameter():
    looped, ids = convert(source(), 2, 3, 1, num_loops=2).train(), tokens()
    looped(ids, labels=ids, use_cache=False).loss.backward()
    assert [name for name, p in looped.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_depth_policy_goes_into_the_configuration():
    looped = convert(source(), 2, 3, 1, depth_policy=FixedPoint(tol=0.1, cap=3), cache_planes=2)
    assert looped.depth_policy == FixedPoint(tol=0.1, cap=3)
    assert looped.config.depth_policy["tol"] == 0.1
    assert looped.config.cache_planes == 2


PROMPT = "The water boiled at one hundred degrees, so the scientist wrote down"


@pytest.mark.slow
@pytest.mark.timeout(900)
@torch.no_grad()
def test_smollm2_keeps_its_logits_and_replays_its_adaptive_depths(smollm2):
    model, tokenizer = smollm2.load()
    looped = convert(model, 8, 14, 8, retention_init=0.1)
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    expected = model(ids).logits
    gap = (looped(ids, num_loops=1).logits - expected).abs().max()
    print(f"one loop: max |difference| {gap:.2g} of logits up to {expected.abs().max():.1f}")
    assert gap < 1e-4 * expected.abs().max()

    policy = FixedPoint(tol=0.15, cap=4)
    out = looped.generate(
        ids, max_new_tokens=24, min_new_tokens=24, do_sample=False, depth_policy=policy,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    trace = out.past_key_values.trace
    sampled = torch.stack(out.logits, dim=1).log_softmax(-1)
    written = out.sequences[:, :-1]  # the last token was never an input
    start = ids.shape[1] - 1
    assert trace.depth.shape == written.shape
    assert len(trace.depth.unique()) > 1, "all tokens at one depth prove nothing"

    def distance(depth_policy):
        logits = looped(written, depth_policy=depth_policy, use_cache=False).logits[:, start:]
        return (logits.log_softmax(-1) - sampled).abs().max().item()

    replayed, fixed = distance(Replay.of(trace)), distance(FixedDepth(policy.cap))
    print(f"depths {trace.depth.flatten().tolist()}: replayed {replayed:.2g}, at the cap {fixed:.2g} nats")
    assert replayed < 1e-4
    assert fixed > 1e-2
