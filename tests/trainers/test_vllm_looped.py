"""Training a looped policy at the depths at which a real vLLM engine on the CPU sampled it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from tests.trainers.test_vllm import END, WORDS, logged, run
from tests.trainers.vllm_run import LOOPED, STEPS, UNSYNCED
from vpo.looped import FixedPoint, LoopedConfig, LoopedForCausalLM
from vpo.tasks.word_tokenizer import word_tokenizer

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm"),
]
CAP = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("policy")
    tokenizer = word_tokenizer(WORDS)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END}
    layers = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **special)
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, depth_policy=FixedPoint(tol=0.45, cap=CAP)))
    for parameter in model.parameters():  # default init is so small that every loop looks alike
        torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {arm: run(folder, tmp_path_factory.mktemp(arm), arm) for arm in LOOPED}


def test_training_computes_what_vllm_sampled_with_at_the_depths_that_it_chose(runs):
    """In fp32 to 1e-4 nats, also in evaluation; an engine that keeps old weights is off by far more."""
    gaps = logged(runs["replay"], "sampling/replay_logp_diff/max")
    assert len(gaps) == STEPS
    assert max(gaps[: UNSYNCED + 1]) < 1e-4
    assert max(gaps[UNSYNCED + 1 :]) > 1e-2
    assert max(logged(runs["replay"], "eval_sampling/replay_logp_diff/max")[:2]) < 1e-4


def test_the_same_policy_trained_at_the_cap_is_another_one(runs):
    assert min(logged(runs["fixed"], "sampling/replay_logp_diff/max")) > 1e-2


def test_tokens_differ_in_depth_and_the_log_says_so(runs):
    depths = logged(runs["replay"], "loops/mean_depth")
    assert len(depths) == STEPS and all(1.5 < depth < CAP - 0.2 for depth in depths)


def test_the_importance_ratio_of_trl_is_one_while_the_weights_are_the_same(runs):
    ratios = logged(runs["replay"], "sampling/importance_sampling_ratio/min")
    assert min(ratios[:UNSYNCED]) > 0.99
