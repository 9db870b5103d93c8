"""Models that a loop would falsify."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    MistralConfig,
    Qwen2Config,
)

from tests.smollm2 import smollm2_fixture  # noqa: F401
from tests.vpo.looped.convert.sources import SIZES, source
from vpo.looped.convert import convert, logit_gap


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
