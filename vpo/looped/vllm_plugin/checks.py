"""What a looped policy in vLLM needs, said before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.looped.config import LoopedConfig
from vpo.looped.depth import (
    ACT,
    Acceleration,
    DepthPolicy,
    FixedDepth,
    FixedPoint,
    LatentDifference,
    LearnedGate,
    as_policy,
)

if TYPE_CHECKING:
    from vllm.config import VllmConfig

FAMILIES = ("llama", "qwen2", "qwen3")  # whose layers are taken from vLLM, see layers.py
_ALONE = (
    FixedDepth,
    FixedPoint,
    LatentDifference,
    Acceleration,
    LearnedGate,
    ACT,
)  # decide about a token by its own states


def policy_of(vllm_config: VllmConfig) -> DepthPolicy:
    """The depth policy that an engine is asked for, if vLLM can run it.

    Args:
        vllm_config: Of the engine. ``hf_overrides={"depth_policy": {...}}`` stands in the place of the checkpoint's.

    Raises:
        ValueError: See :func:`check_config`; or adaptive depth in captured CUDA graphs, pipeline parallelism, learned
            positions that a sequence can outgrow.
    """
    config: LoopedConfig = vllm_config.model_config.hf_config
    policy = check_config(config)
    if not isinstance(policy, FixedDepth) and not vllm_config.model_config.enforce_eager:
        raise ValueError(
            f"{policy} without enforce_eager=True: a captured CUDA graph cannot end when the tokens have stopped. "
            'Pass enforce_eager=True (--enforce-eager), or a fixed depth: hf_overrides={"depth_policy": {"kind": '
            '"fixed", "num_loops": 2}}.'
        )
    if vllm_config.parallel_config.pipeline_parallel_size > 1:
        raise ValueError(
            "pipeline_parallel_size above 1 with a looped policy: its loop runs through the same layers again and "
            "again. Use tensor parallelism."
        )
    learned, longest = config.learned_positions, vllm_config.model_config.max_model_len
    if learned and longest > learned:
        raise ValueError(
            f"max_model_len is {longest}, and the policy has {learned} learned positions: pass max_model_len={learned} "
            "or less."
        )
    return policy


def check_config(config: LoopedConfig, depth_policy: DepthPolicy | None = None) -> DepthPolicy:
    """Refuse a looped policy that vLLM cannot run; give the depth policy that it would run with.

    Args:
        config: Of the policy.
        depth_policy: In the place of the configuration's own.

    Raises:
        ValueError: Layers of a family that vLLM has no layers for here; or a depth policy that reads outputs after
            every loop, waits for other tokens, is for training alone, or is one of your own.
    """
    if config.layer_config.model_type not in FAMILIES:
        raise ValueError(
            f"a looped policy of {config.layer_config.model_type!r} layers in vLLM: expected one of "
            f"{', '.join(FAMILIES)}. Sample it with transformers."
        )
    own = as_policy(config.depth_policy) if config.depth_policy else FixedDepth(config.num_loops or 1)
    policy = depth_policy or own
    if not isinstance(policy, _ALONE) or getattr(policy, "scope", "token") != "token":
        raise ValueError(
            f"{policy} in vLLM: expected a policy that decides about a token by its own states, which are FixedDepth, "
            'FixedPoint(scope="token"), LatentDifference, Acceleration, LearnedGate and ACT. Sample with '
            "transformers, or choose one of them."
        )
    return policy
