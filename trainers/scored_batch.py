"""One generation batch between its rewards and its advantages.

Shape letters: N completions of all processes, M answers a completion, D components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainers.depth_recorder import SampledDepths


@dataclass
class ScoredBatch:
    """Reward vectors of all processes; texts, rows and depths of this one."""

    rewards: Tensor  # (N, M, D)
    mask: Tensor  # (N, M)
    keys: Tensor  # (N,) hash of each completion's prompt
    prompts: list[Any]
    completions: list[Any]
    completion_ids: list[list[int]]
    rows: list[dict[str, Any]]
    depths: SampledDepths | None  # of a looped policy
