"""What saved loops are worth on the clock, in decoding and in a parallel pass.

A trained core here is 64 wide: a pass of it costs about as much in bookkeeping as in arithmetic, which a policy that
decides token by token has more of. So the same depths are also timed on an untrained core of 512, by replaying them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from serial_depth.measuring import cap_of
from serial_depth.tasks import Batch
from serial_depth.training import Plan, call, new_model
from torch import Tensor

from vpo.looped import DepthPolicy, LoopedForCausalLM, Replay

Run = Callable[[LoopedForCausalLM, Batch, "DepthPolicy | Tensor"], None]
Policy = Callable[[int], DepthPolicy]


@torch.no_grad()
def decode(model: LoopedForCausalLM, batch: Batch, depth: DepthPolicy | Tensor) -> None:
    """Token by token through the cache, as in generation; ``depth`` is a policy, or (B, T) loops to run."""
    cache = None
    for place in range(batch.ids.shape[1]):
        token = slice(place, place + 1)
        out = model(
            batch.ids[:, token],
            attention_mask=batch.mask[:, :, token, : place + 1],
            position_ids=batch.positions[:, token],
            past_key_values=cache,
            use_cache=True,
            depth_policy=Replay(depth[:, token]) if isinstance(depth, Tensor) else depth,
        )
        cache = out.past_key_values


@torch.no_grad()
def parallel(model: LoopedForCausalLM, batch: Batch, depth: DepthPolicy | Tensor) -> None:
    """All tokens in one pass, as in prefill and training."""
    call(model, batch, depth_policy=Replay(depth) if isinstance(depth, Tensor) else depth)


def saving(
    run: Run, model: LoopedForCausalLM, batches: list[Batch], fixed: Policy, chosen: Policy, spare: int, repeats: int
) -> float:
    """Median over repeats of (seconds at the fixed depth) / (seconds at the chosen ones) for the same sequences."""
    caps = [cap_of(batch, spare) for batch in batches]
    return _ratio(run, model, batches, [fixed(cap) for cap in caps], [chosen(cap) for cap in caps], repeats)


@torch.no_grad()
def wide_saving(
    run: Run,
    model: LoopedForCausalLM,
    batches: list[Batch],
    fixed: Policy,
    chosen: Policy,
    plan: Plan,
    width: int,
    repeats: int,
) -> float:
    """As `saving`, with a core of ``width`` that replays the depths that ``model`` chooses.

    A replayed pass measures the residual as a deciding one does; what it saves is the comparison with the tolerance.
    """
    wide = new_model(replace(plan, width=width), seed=0).eval()
    caps = [cap_of(batch, plan.spare) for batch in batches]
    depths = [
        call(model, batch, depth_policy=chosen(cap)).loop_depths for batch, cap in zip(batches, caps, strict=True)
    ]
    return _ratio(run, wide, batches, [fixed(cap) for cap in caps], depths, repeats)


def _ratio(
    run: Run,
    model: LoopedForCausalLM,
    batches: list[Batch],
    fixed: Sequence[DepthPolicy | Tensor],
    chosen: Sequence[DepthPolicy | Tensor],
    repeats: int,
) -> float:
    """The two take turns within a repeat, and at going first, so what disturbs the machine disturbs both."""
    ratios = []
    for repeat in range(repeats):
        seconds = {}
        for name, depths in (("fixed", fixed), ("chosen", chosen))[:: -1 if repeat % 2 else 1]:
            start = time.perf_counter()
            for batch, depth in zip(batches, depths, strict=True):
                run(model, batch, depth)
            seconds[name] = time.perf_counter() - start
        ratios.append(seconds["fixed"] / seconds["chosen"])
    return statistics.median(ratios)
