"""What can be said of the sampler of vLLM where there is no vLLM."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from search.request_seeds import SeedNarrower
from search.seeds import request_seed
from search.vllm_sampler import VLLMSampler
from vpo.looped import KLExit, LoopedConfig


def test_torch_on_a_cpu_reads_32_bits_of_a_seed():
    """Why the sampler narrows seeds there: two that share these bits would draw the same."""

    def draw(seed: int) -> list[float]:
        return torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()

    assert draw(5) == draw(5 + 2**32) != draw(6)


def test_100_000_requests_of_a_problem_have_as_many_seeds_in_an_engine_on_a_cpu():
    narrow = SeedNarrower(32)
    assert len({narrow(request_seed(0, "p", number)) for number in range(100_000)}) == 100_000


def test_a_looped_policy_whose_depths_vllm_cannot_choose_is_refused(tmp_path):
    LoopedConfig(depth_policy=KLExit()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"KLExit.* in vLLM.*Sample with transformers"):
        VLLMSampler.load(str(tmp_path))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_way_to_it_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ValueError, match=r"pip install 'vpo\[vllm\]'"):
        VLLMSampler.load(str(tmp_path))
