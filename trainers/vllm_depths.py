"""The depths at which vLLM sampled, as the replay in training wants them.

Shape letters: B completions of this process, P prompt tokens, C completion tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from trainers.depth_recorder import SampledDepths
from vpo.looped import DepthPolicy, DepthTrace


@contextmanager
def keep_depths(engine: Any) -> Iterator[list[Any]]:
    """Collect the :class:`~vpo.looped.vllm_plugin.TokenDepths` of all completions within the block, in order.

    TRL takes tokens and log-probabilities from what ``engine.generate`` returns, and drops the rest.
    """
    kept: list[Any] = []
    generate = engine.generate

    def keep(*args: Any, **kwargs: Any) -> Any:
        outputs = generate(*args, **kwargs)
        kept.extend(completion.depths for output in outputs for completion in output.outputs)
        return outputs

    engine.generate = keep
    try:
        yield kept
    finally:
        del engine.generate  # the class's own is seen again


def sampled_depths(
    rows: Sequence[Any],
    logprobs: Sequence[Sequence[float]],
    policy: DepthPolicy,
    prompt_ids: Sequence[Sequence[int]],
    num_prompt_tokens: int,
    device: torch.device,
) -> SampledDepths:
    """Align what vLLM recorded with the padded batch that is trained on.

    Args:
        rows: Depths of B completions, in order.
        logprobs: Of their tokens.
        policy: That decided.
        prompt_ids: B prompts.
        num_prompt_tokens: P, to which the prompts are left-padded.
        device: Of the result.

    Raises:
        RuntimeError: Depths of other sequences than those.
    """
    longest = max(len(row) for row in logprobs)
    shape = (len(rows), num_prompt_tokens + longest)
    names = {"depth": 1, "residual": 0.0, "reason": 0, "damping": 0}
    whole: dict[str, Tensor] = {}
    for name, filler in names.items():
        kind = torch.from_numpy(getattr(rows[0], name)).dtype
        whole[name] = torch.full(shape, filler, dtype=torch.int64 if name == "depth" else kind)
    logps = torch.zeros(len(rows), longest)
    for row, (depths, drawn, prompt) in enumerate(zip(rows, logprobs, prompt_ids, strict=True)):
        fed = len(prompt) + len(drawn) - 1  # the last token was drawn, and not fed in
        if not fed <= len(depths.depth) <= fed + 1:
            raise RuntimeError(
                f"vLLM recorded depths of {len(depths.depth)} tokens for a prompt of {len(prompt)} and a completion of "
                f"{len(drawn)}: expected {fed}. Is the engine used by somebody else at the same time?"
            )
        start = num_prompt_tokens - len(prompt)
        for name, tensor in whole.items():
            tensor[row, start : start + fed] = torch.from_numpy(getattr(depths, name)[:fed])
        logps[row, : len(drawn)] = torch.tensor(drawn)
    trace = DepthTrace(**{name: tensor.to(device) for name, tensor in whole.items()}, policy=policy)
    return SampledDepths(trace, logps.to(device), policy)
