"""What vLLM cannot do with a looped policy is said before an engine is built."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from transformers import LlamaConfig, Olmo2Config

from vpo.looped import (
    ACT,
    Acceleration,
    FixedDepth,
    FixedPoint,
    KLExit,
    LatentDifference,
    LearnedGate,
    LoopedConfig,
    RandomDepth,
)
from vpo.looped.vllm_plugin import check_config
from vpo.looped.vllm_plugin.checks import policy_of


def config(family=LlamaConfig, **options) -> LoopedConfig:
    return LoopedConfig(layer_config=family(num_hidden_layers=4), **options)


def engine(policy: LoopedConfig, eager: bool = True, stages: int = 1, longest: int = 64) -> SimpleNamespace:
    model = SimpleNamespace(hf_config=policy, enforce_eager=eager, max_model_len=longest)
    return SimpleNamespace(model_config=model, parallel_config=SimpleNamespace(pipeline_parallel_size=stages))


@pytest.mark.parametrize(
    "policy", [FixedDepth(3), FixedPoint(), LatentDifference(), Acceleration(), LearnedGate(), ACT()]
)
def test_policies_that_look_at_a_token_alone_run(policy):
    looped = config(depth_policy=policy, halt_gate=True)
    assert check_config(looped) == policy == policy_of(engine(looped))


def test_without_a_policy_the_depth_is_fixed():
    assert check_config(config(num_loops=3)) == FixedDepth(3)


def test_a_policy_of_the_call_stands_in_the_place_of_the_checkpoint_s():
    assert check_config(config(num_loops=3), FixedPoint(cap=6)) == FixedPoint(cap=6)


@pytest.mark.parametrize("policy", [FixedPoint(scope="prefix"), KLExit(), RandomDepth(1, 3)])
def test_other_policies_are_refused_with_those_that_run(policy):
    with pytest.raises(ValueError, match=r"decides about a token by its own states.*LearnedGate and ACT"):
        check_config(config(), policy)


def test_a_family_without_layers_here_is_refused():
    with pytest.raises(ValueError, match=r"'olmo2' layers in vLLM: expected one of llama, qwen2, qwen3"):
        check_config(config(Olmo2Config))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eager": False}, "without enforce_eager=True"),
        ({"stages": 2}, "Use tensor parallelism"),
        ({"longest": 65}, "pass max_model_len=64 or less"),
    ],
)
def test_an_engine_that_cannot_run_it_is_refused(options, message):
    looped = config(depth_policy=FixedPoint(), learned_positions=64)
    with pytest.raises(ValueError, match=message):
        policy_of(engine(looped, **options))


def test_a_fixed_depth_runs_in_captured_graphs():
    assert policy_of(engine(config(num_loops=2), eager=False)) == FixedDepth(2)
