"""A pretrained model becomes a looped one, and computes what it computed before."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from tests.smollm2 import smollm2_fixture  # noqa: F401
from vpo.looped import FixedDepth, FixedPoint, LoopedForCausalLM, Replay
from vpo.looped.convert import convert, logit_gap
from vpo.looped.parts import Parts, read_parts, spell

SIZES = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "llama": (LlamaConfig, {}),
    "tied_llama": (LlamaConfig, {"tie_word_embeddings": True}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 8}),
    "smollm3": (SmolLM3Config, {}),  # some layers without rotary positions
    "mixtral": (MixtralConfig, {"num_local_experts": 4}),
}
INJECTIONS = ["gate", "diagonal", "concat", "add", "none"]


def source(family: str = "llama", seed: int = 0) -> PreTrainedModel:
    kind, options = FAMILIES[family]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(kind(**SIZES, **options)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:  # default init is so small that every layer is next to nothing
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def tokens(rows: int = 2, length: int = 9, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 31, (rows, length), generator=torch.Generator().manual_seed(seed))


# --- the same logits -----------------------------------------------------------------------------------------------


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


# --- what is kept --------------------------------------------------------------------------------------------------


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


# --- how parts are said --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((2, 3, 1), ((0, 1), (2, 3, 4), (5,))),
        (("2", "3", "1"), ((0, 1), (2, 3, 4), (5,))),
        (("0-1", "2-4", "5-5"), ((0, 1), (2, 3, 4), (5,))),
        (("0, 1", [2, 3, 4], range(5, 6)), ((0, 1), (2, 3, 4), (5,))),
        ((0, 6, 0), ((), (0, 1, 2, 3, 4, 5), ())),
        (("0-1,2", "3", 2), ((0, 1, 2), (3, 4, 5), ())),
    ],
)
def test_counts_lists_and_ranges_say_the_same(said, expected):
    if expected[2] == ():
        said = (*said[:2], 0)
    assert read_parts(*said, num_layers=6) == expected


def test_a_count_takes_what_follows_the_part_before():
    assert read_parts("0-1", "3-4", 1, 6, drop_rest=True) == ((0, 1), (3, 4), (5,))


@given(st.lists(st.integers(0, 40), unique=True, min_size=1).map(sorted))
def test_spelled_layers_are_read_back(layers):
    assert read_parts(0, spell(layers), 0, 41, drop_rest=True).core == tuple(layers)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (("0-2", "2-4", "5-5"), "layer 2 is in the prelude and in the core"),
        (("2-3", "0-1", "4-5"), "core has layer 0 after layer 3"),
        (([1, 0], "2-4", "5-5"), "prelude has layer 0 after layer 1"),
        (([0, 0], "1-4", "5-5"), "prelude has layer 0 after layer 0"),
        ((2, 3, 2), r"coda=2 takes layers 5-6, but the model's last layer is 5"),
        (("0-1", "2-4", "5-6"), "coda names layer 6: the model has layers 0-5"),
        (("0-1", "2-4", [-1]), "coda names layer -1"),
        ((3, 0, 3), "core is 0: expected one layer at least"),
        ((-1, 3, 3), "prelude is -1: expected a number of layers"),
        ((True, 3, 2), "prelude is True"),
        ((2, "a-b", 1), "core is 'a-b': expected a number of layers as '8', a range"),
        ((2, "4-2", 1), "holds the range 4-2, which runs backwards"),
        ((2, 2, 1), r"5-5 are in no part.*drop_rest=True"),
        (("0-0", "2-2", "5-5"), r"1,3-4 are in no part"),
    ],
)
def test_parts_that_make_no_sense_are_refused(said, message):
    with pytest.raises(ValueError, match=message):
        convert(source(), *said)


# --- what cannot be looped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Gemma2Config(**SIZES), "Gemma2ForCausalLM has final_logit_softcapping=30.0"),
        (CohereConfig(**SIZES), "has logit_scale=0.0625"),
        (GraniteConfig(**SIZES, embedding_multiplier=12.0), "has embedding_multiplier=12.0"),
        (MistralConfig(**SIZES), "has a sliding window of 4096 tokens.*sliding_window=None"),
        (
            Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=1),
            "has layers of type .*sliding",
        ),
        (
            GPT2Config(vocab_size=31, n_embd=32, n_layer=6, n_head=4, bos_token_id=1, eos_token_id=2),
            "has no backbone of embed_tokens, layers, norm, rotary_emb",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_family_that_a_loop_would_falsify_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        convert(AutoModelForCausalLM.from_config(config), 2, 3, 1)


def test_a_window_that_is_switched_off_is_no_obstacle():
    model = AutoModelForCausalLM.from_config(MistralConfig(**SIZES, sliding_window=None)).eval()
    assert logit_gap(model, convert(model, 2, 3, 1))[0] <= 1e-5


def test_a_forward_that_does_more_than_its_layers_is_refused():
    model = source()
    embed = model.model.embed_tokens.forward
    model.model.embed_tokens.forward = lambda ids: 2 * embed(ids)
    with pytest.raises(ValueError, match="gives other logits: they differ by"):
        convert(model, 2, 3, 1)


def test_models_of_another_kind_are_refused():
    model = source()
    with pytest.raises(ValueError, match="is looped already"):
        convert(convert(model, 2, 3, 1), 2, 3, 1)
    with pytest.raises(ValueError, match="has no backbone"):
        convert(model.model, 2, 3, 1)
    with pytest.raises(ValueError, match="got a Linear: expected a transformers causal language model"):
        convert(torch.nn.Linear(2, 2), 2, 3, 1)
    headed = source()
    headed.lm_head = torch.nn.Linear(32, 31)
    with pytest.raises(ValueError, match="expected a Linear without bias"):
        convert(headed, 2, 3, 1)
    mixed = source()
    mixed.model.norm.to(torch.float64)
    with pytest.raises(ValueError, match="expected one dtype"):
        convert(mixed, 2, 3, 1)


def test_a_norm_between_loops_and_an_unknown_injection_are_refused():
    with pytest.raises(ValueError, match="scale_control is 'norm': expected 'none' or 'match'"):
        convert(source(), 2, 3, 1, scale_control="norm")
    with pytest.raises(ValueError, match="injection is 'glue': expected one of gate, diagonal, concat, add, none"):
        convert(source(), 2, 3, 1, injection="glue")


def test_adapters_are_to_be_merged_first():
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(source(), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    with pytest.raises(ValueError, match=r"merge_and_unload\(\)"):
        convert(model, 2, 3, 1)
    assert convert(model.merge_and_unload(), 2, 3, 1).model.layers


# --- a real model --------------------------------------------------------------------------------------------------

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
