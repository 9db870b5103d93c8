"""A looped policy is an ordinary Hugging Face model: saving, gradients, attention, adapters, compilation."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    Trainer,
    TrainingArguments,
)

from tests.vpo.looped.tiny_looped import FAMILIES, SIZES, build, pad_left, tokens
from vpo.looped import (
    FixedDepth,
    FixedPoint,
    LoopedConfig,
    LoopedForCausalLM,
    RandomDepth,
)


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


@pytest.mark.parametrize("family", FAMILIES)
def test_saving_and_loading_by_the_auto_class_gives_the_same_model(family, tmp_path):
    model, ids = build(family, num_loops=3, learned_positions=20), tokens(2, 6)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(loaded) is LoopedForCausalLM
    assert loaded.depth_policy == FixedDepth(3)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


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
