"""Objectives that pay for a single answer: GRPO and its kin.

Shape letters: P prompts, G completions a prompt, M answers a completion, D components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vpo.objective.advantages import Scale, group_advantages, normalize_then_sum
from vpo.objective.base import Objective
from vpo.objective.groups import AnswerGroups


@dataclass(frozen=True)
class GRPO(Objective):
    """The utility of a single answer under w*: the first one that exists, others are ignored."""

    name: ClassVar[str] = "grpo"
    pays_one_answer: ClassVar[bool] = True

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """``w* . r`` of the first answer; see `Objective.scores`."""
        return groups.first(groups.utilities(), mask)


@dataclass(frozen=True)
class DrGRPO(GRPO):
    """GRPO without division by the standard deviation (arXiv 2503.20783); its other half is ``loss_type="dr_grpo"``."""

    name: ClassVar[str] = "dr_grpo"

    def advantages(self, groups: AnswerGroups, scores: Tensor, scale: Scale = "none") -> Tensor:
        """Centred scores, whatever ``scale`` says; see `Objective.advantages`."""
        return super().advantages(groups, scores, "none")


@dataclass(frozen=True)
class GDPO(GRPO):
    """Each component normalised within its group before they are summed under w* (arXiv 2601.05242).

    As TRL's ``multi_objective_aggregation="normalize_then_sum"``. The logged score stays ``w* . r``.
    """

    name: ClassVar[str] = "gdpo"
    paid_by_scores: ClassVar[bool] = False

    def advantages(self, groups: AnswerGroups, scores: Tensor, scale: Scale = "group") -> Tensor:
        """Whitened sum of normalised components; see `Objective.advantages`. ``scale`` is not read."""
        components = [groups.first(groups.rewards[..., d]) for d in range(groups.rewards.shape[-1])]
        return normalize_then_sum(torch.stack(components, dim=-1), groups.w_star)


@dataclass(frozen=True)
class RandomWeighting(Objective):
    """A single answer under one random weighting, the same for its whole group: VPO without sets."""

    name: ClassVar[str] = "random_weighting"
    uses_drawn_weightings: ClassVar[bool] = True
    pays_one_answer: ClassVar[bool] = True

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """``w . r`` of the first answer, w the first weighting drawn; see `Objective.scores`."""
        if groups.weights is None:
            raise ValueError("objective 'random_weighting' got no weightings: expected (P, K, D). Draw a Dirichlet.")
        weight = groups.weights[:, 0, None, None].to(groups.rewards)  # (P, 1, 1, D)
        return groups.first((groups.rewards * weight).sum(dim=-1), mask)


@dataclass(frozen=True)
class MaxRL(Objective):
    """Advantages relative to the mean reward (arXiv 2602.02710): rare successes weigh more than in GRPO.

    Needs scores of at least 0. A completion with several answers is scored by its best one under w*.

    Attributes:
        eps: Added to the mean.
    """

    eps: float = 1e-6

    name: ClassVar[str] = "maxrl"

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """Best answer under w*; see `Objective.scores`."""
        return groups.best(groups.utilities(), mask)

    def advantages(self, groups: AnswerGroups, scores: Tensor, scale: Scale = "group") -> Tensor:
        """``(score - mean) / (mean + eps)``, 0 where all failed; see `Objective.advantages`.

        Raises:
            ValueError: A score is negative.
        """
        if (scores < 0).any():
            raise ValueError(
                f"objective 'maxrl' got the score {scores.min().item():.4g}: it divides by the group's mean and "
                "expects at least 0. Shift the component whose worst value is negative."
            )
        centred = group_advantages(scores.reshape(-1), scores.shape[1], "none").view_as(scores)
        return centred / (scores.mean(dim=1, keepdim=True) + self.eps)
