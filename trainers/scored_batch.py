"""One generation batch between its rewards and its advantages.

Shape letters: N completions of all processes, M answers a completion, D components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor

from trainers.depth_recorder import SampledDepths
from vpo.rewards import AnswerReward, RewardBatch, RewardError, VectorReward


@dataclass
class ScoredBatch:
    """Reward vectors of all processes; texts, rows and depths of this one."""

    rewards: Tensor  # (N, M, D), 0 where a component does not apply
    mask: Tensor  # (N, M)
    keys: Tensor  # (N,) hash of each completion's prompt
    labels: Tensor | None  # (N, M) hash of each answer, if somebody asks which are the same
    prompts: list[Any]
    completions: list[Any]
    completion_ids: list[list[int]]
    rows: list[dict[str, Any]]
    depths: SampledDepths | None  # of a looped policy
    applies: Tensor | None = None  # (P, D) components that each prompt has, if not all have all
    unfinished: Tensor | None = None  # (N, M) answers that were begun and never closed


def applicable(rewards: Tensor, mask: Tensor, group_size: int) -> tuple[Tensor, Tensor | None]:
    """Which components each prompt has.

    Args:
        rewards: (N, M, D), NaN where a component does not apply to an answer.
        mask: (N, M) answers that exist.
        group_size: G.

    Returns:
        The rewards with 0 for NaN, and (P, D) bool: components that apply to an answer of the prompt, or None if all do
        everywhere. A prompt without any answer has all of them.
    """
    missing = rewards.isnan() & mask.unsqueeze(-1)
    if not missing.any():
        return rewards, None
    shape = (-1, group_size * mask.shape[1])
    given = (~missing & mask.unsqueeze(-1)).view(*shape, rewards.shape[-1]).any(dim=1)
    applies = given | ~mask.view(shape).any(dim=1, keepdim=True)
    return rewards.nan_to_num(nan=0.0), None if applies.all() else applies


def share_components(rewards: VectorReward) -> None:
    """Tell every process the components that any of them has seen.

    A process whose completions held no answer so far does not know how many a function has. It would take another w*
    than the others, and all score the rewards of all.

    Raises:
        RewardError: Two processes have seen different ones.
    """
    known = gather_object([[adapter.components for adapter in rewards.adapters]])
    for adapter, *seen in zip(rewards.adapters, *known, strict=True):
        _adopt(adapter, next((components for components in seen if components is not None), None))


def _adopt(adapter: AnswerReward, components: tuple[str, ...] | None) -> None:
    """Take over the components that another process has seen, in its order."""
    own = adapter.components
    if own is None or components is None or own == components:
        adapter.components = own or components
        return
    if sorted(components) != sorted(own):
        raise RewardError(
            f"reward function '{adapter.__name__}' has the components {', '.join(own)} on one process and "
            f"{', '.join(components)} on another: expected the same. Return the same keys for every answer."
        )
    adapter.components = components
    if adapter.last is not None:
        order = [own.index(name) for name in components]
        values = [[[vector[i] for i in order] for vector in row] for row in adapter.last.values]
        adapter.last = RewardBatch(values, components, adapter.last.answer_sets)
