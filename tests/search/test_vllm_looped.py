"""A looped policy behind vLLM's own server, which knows it through the installed package's plugin alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
import torch
from transformers import LlamaConfig

from search.model_sampler import ModelSampler
from search.openai_sampler import OpenAISampler
from tests.search.tiny_policy import tiny_tokenizer
from tests.search.vllm_sampler_run import mixed, plain
from tests.vllm_server import vllm_server
from vpo.looped import FixedPoint, LoopedConfig, LoopedForCausalLM

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here: make test-vllm"),
]


@pytest.fixture(scope="module")
def policy() -> LoopedForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    layers = LlamaConfig(vocab_size=len(tiny_tokenizer()), max_position_embeddings=64, **sizes, **special)
    model = LoopedForCausalLM(LoopedConfig(layer_config=layers, depth_policy=FixedPoint(tol=0.45, cap=5))).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    return model


@pytest.fixture(scope="module")
def url(policy, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("policy")
    policy.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    options = ("--served-model-name", "policy", "--dtype", "float32", "--enforce-eager", "--max-model-len", "64")
    with vllm_server(folder, tmp_path_factory.mktemp("server") / "log.txt", *options) as address:
        yield f"{address}/v1"


def test_greedy_completions_of_the_server_are_those_of_transformers(url, policy):
    requests = [request for request in mixed(0.0) if isinstance(request.prompt, str)]
    served = OpenAISampler(url, "policy", tokenizer=tiny_tokenizer())
    theirs = plain([generation for request in requests for generation in served.sample([request])])
    ours = plain(ModelSampler(policy, tiny_tokenizer()).sample(requests))
    # vLLM counts a white space more or less between prefix and text, as it decodes by itself
    assert [[n, text.split(), *rest] for n, text, *rest in theirs] == [
        [n, text.split(), *rest] for n, text, *rest in ours
    ]
    assert len({text for _, text, *_ in ours}) > 4
    one_loop = ModelSampler(policy, tiny_tokenizer())
    policy.depth_policy = FixedPoint(tol=0.45, cap=1)
    assert plain(one_loop.sample(requests)) != ours, "the loops matter"
