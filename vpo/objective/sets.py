"""Objectives that pay for a set of answers: VPO, and several answers under the fixed w*.

Shape letters: P prompts, G completions a prompt, M answers a completion, D components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vpo.objective.base import Objective
from vpo.objective.groups import AnswerGroups
from vpo.objective.set_reward import chebyshev_set_reward, exact_set_reward, hypervolume, set_reward
from vpo.objective.subsets import solved


@dataclass(frozen=True)
class VPO(Objective):
    """Set reward under drawn weightings (arXiv 2605.22817), and what the paper leaves open.

    Attributes:
        utility: What an answer is worth to a taste. "linear" (the paper's), "chebyshev", or "hypervolume", which has
            no tastes and is the volume that the set dominates; the last two also pay for compromises that lie below
            the line between two specialists, which "linear" never picks.
        coverage: Share of credit for the group's pool. R(S) looks at a completion alone, so G completions may all
            hold the same set. This adds ``coverage * G`` times what the pool of all G * M answers would lose without
            this completion.
        coverage_first: The same share for the first answer of a completion alone; None means ``coverage``. All first
            answers of a group become different under a large share, and none of them the best: a small one keeps the
            answer that a user of one answer gets, while the later ones spread.
        merit: Pay for every answer by itself, on top: ``merit / M`` times ``w* . r`` (w* scaled to sum to 1) of each
            whose reward vector no earlier answer of the set has. R(S) pays nothing for an answer that is not the best
            for any taste, so that writing it well or not at all is the same.
        anchor: In [0, 1]: this share of the score is ``w* . r`` of one answer, w* scaled to sum to 1 as tastes do, and
            the rest the set's. R(S) asks nothing of any particular answer, which is why VPO loses at k = 1.
        anchor_on: Which answer: the "first", or the "mean" of all.
        ideal: Best value of a component, for "chebyshev".
        reference: Worst value of a component, for "hypervolume". Below 0 so that an answer with a component at 0
            dominates some volume (the customary tenth of the range).

    Raises:
        ValueError: An option has a value that it cannot have.
    """

    utility: Literal["linear", "chebyshev", "hypervolume"] = "linear"
    coverage: float = 0.0
    coverage_first: float | None = None
    merit: float = 0.0
    anchor: float = 0.0
    anchor_on: Literal["first", "mean"] = "first"
    ideal: float = 1.0
    reference: float = -0.1

    name: ClassVar[str] = "vpo"

    def __post_init__(self) -> None:
        if self.utility not in ("linear", "chebyshev", "hypervolume"):
            raise ValueError(f"utility is {self.utility!r}: expected 'linear', 'chebyshev' or 'hypervolume'.")
        if self.anchor_on not in ("first", "mean"):
            raise ValueError(f"anchor_on is {self.anchor_on!r}: expected 'first' or 'mean'.")
        if not 0 <= self.anchor <= 1:
            raise ValueError(f"anchor is {self.anchor}: expected a share in [0, 1].")
        if not self.merit >= 0:
            raise ValueError(f"merit is {self.merit}: expected 0 (none) or more.")
        if not self.coverage >= 0:
            raise ValueError(f"coverage is {self.coverage}: expected 0 (none) or more.")
        if self.coverage_first is not None and not 0 <= self.coverage_first <= self.coverage:
            raise ValueError(
                f"coverage_first is {self.coverage_first}: expected 0 to coverage = {self.coverage}, or None for that "
                "much."
            )
        if self.coverage and self.utility == "hypervolume":
            raise ValueError(
                "coverage with utility='hypervolume': the volume of a whole group's pool is out of reach. Use "
                "utility='chebyshev', which pays for the same points."
            )

    @property
    def uses_drawn_weightings(self) -> bool:  # type: ignore[override]
        """Whether weightings are read."""
        return self.utility != "hypervolume"

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """Mean over the weightings of the best answer's utility, with coverage and anchor; see `Objective.scores`."""
        mask = groups.mask if mask is None else mask
        score = self._value(groups, groups.rewards, mask)
        if self.coverage:
            lost = self.coverage * self._lost_without(groups, mask)
            if self.coverage_first is not None:
                opening = mask & (groups.mask.cumsum(dim=-1) == 1)
                lost = lost - (self.coverage - self.coverage_first) * self._lost_without(groups, opening)
            score = score + groups.rewards.shape[1] * lost
        total = groups.w_star.abs().sum(dim=-1).clamp(min=1e-12).to(groups.rewards)
        utilities = groups.utilities() / total[:, None, None]
        if self.merit:
            counted = mask & ~_repeats_earlier(groups.rewards, mask)
            score = score + self.merit * torch.where(counted, utilities, 0.0).sum(-1) / max(mask.shape[-1], 1)
        if self.anchor:
            if self.anchor_on == "first":
                held = groups.first(utilities, mask)
            else:
                held = torch.where(mask, utilities, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)
            score = (1 - self.anchor) * score + self.anchor * held
        return score

    def _lost_without(self, groups: AnswerGroups, mask: Tensor) -> Tensor:
        """(P, G) value of the group's pool, less its value without the completion's answers."""
        prompts, size, answers, dim = groups.rewards.shape
        pool = groups.rewards.reshape(prompts, 1, size * answers, dim).expand(prompts, size, -1, dim)
        own = torch.eye(size, dtype=torch.bool, device=mask.device)[:, :, None]  # (G, G, 1): whose pool, whose answer
        peers = (groups.mask.unsqueeze(1) & ~own).flatten(2)  # (P, G, G * M)
        everyone = peers | (mask.unsqueeze(1) & own).flatten(2)
        return self._value(groups, pool, everyone) - self._value(groups, pool, peers)

    def _value(self, groups: AnswerGroups, rewards: Tensor, mask: Tensor) -> Tensor:
        """(P, G, A, D) rewards of sets of any size -> (P, G)."""
        if self.utility == "hypervolume":
            if groups.applies is not None:  # a side of length 1: the volume is that of the other components
                rewards = rewards.masked_fill(~groups.applies[:, None, None], self.reference + 1)
            return hypervolume(rewards, mask, self.reference)
        if groups.weights is not None:
            weights = groups.weights.unsqueeze(1)
            if self.utility == "chebyshev":
                return chebyshev_set_reward(rewards, weights, mask, self.ideal)
            return set_reward(rewards, weights, mask)
        if groups.concentration is None or self.utility != "linear":
            raise ValueError(
                f"objective 'vpo' with utility {self.utility!r} got no weightings: expected (P, K, D). Draw them; "
                "only linear utilities of two components can be integrated instead."
            )
        return exact_set_reward(rewards, groups.concentration.unsqueeze(1), mask)


@dataclass(frozen=True)
class MultiRLVR(Objective):
    """Several answers under the fixed w* (Puri et al., arXiv 2603.24844): VPO without random weightings.

    Attributes:
        aggregation: "sum" of the answers' utilities (the VPO authors' baseline), their "max" (changes nothing but the
            weightings against VPO, so the clean ablation), or "any": 1 if an answer reaches the utility of a vector
            of ones (all components solved, for components in [0, 1]), else 0.
        distinct: For "sum" only: answers of one completion with equal reward vectors count once, as in the authors'
            code; without it, writing the best answer M times is the best policy.

    Raises:
        ValueError: ``aggregation`` is unknown.
    """

    aggregation: Literal["sum", "max", "any"] = "sum"
    distinct: bool = True

    name: ClassVar[str] = "multi_rlvr"

    def __post_init__(self) -> None:
        if self.aggregation not in ("sum", "max", "any"):
            raise ValueError(
                f"aggregation is {self.aggregation!r}: expected 'sum', 'max' or 'any'. Use 'sum' for the baseline of "
                "the VPO authors."
            )

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """The answers' utilities under w*, aggregated; see `Objective.scores`."""
        mask = groups.mask if mask is None else mask
        utilities = groups.utilities()
        if self.aggregation == "max":
            return groups.best(utilities, mask)
        if self.aggregation == "any":
            return solved(groups, groups.best(utilities, mask), mask)
        if self.distinct:
            mask = mask & ~_repeats_earlier(groups.rewards, mask)
        return torch.where(mask, utilities, 0.0).sum(dim=-1)


def _repeats_earlier(rewards: Tensor, mask: Tensor) -> Tensor:
    """(..., M) bool: an existing answer before this one has the same reward vector."""
    same = mask.unsqueeze(-1) & mask.unsqueeze(-2)  # (..., M, M)
    for component in rewards.unbind(dim=-1):  # a loop over D spares a tensor of (..., M, M, D)
        same = same & (component.unsqueeze(-1) == component.unsqueeze(-2))
    return same.tril(diagonal=-1).any(dim=-1)
