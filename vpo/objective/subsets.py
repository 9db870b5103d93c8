"""Objectives that are paid for the best of k completions, unbiased over all subsets of k among the G sampled ones.

A completion with several answers counts by its best one under w*, so that k completions of m answers are best@(k m).

Shape letters: P prompts, G completions a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import ClassVar

import torch
from torch import Tensor

from vpo.objective.advantages import Scale
from vpo.objective.base import Objective
from vpo.objective.groups import AnswerGroups


@dataclass(frozen=True)
class MaxAtK(Objective):
    """Each completion is paid the maximum of every k-subset that it is in (arXiv 2510.23393, 2505.15201).

    Attributes:
        k: Size of the subsets, at most G; None for ``max(2, G // 2)``, as in the VPO authors' baseline.

    Raises:
        ValueError: ``k`` is below 1.
    """

    k: int | None = None

    name: ClassVar[str] = "max_at_k"

    def __post_init__(self) -> None:
        _check_k(self.k)

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """(P, G) sums over the k-subsets that hold the completion of their maximum, divided by C(G, k).

        Their sum over a group is k times the unbiased estimate of the expected maximum of k completions. With ``mask``
        given, all completions are scored for those answers at once.
        """
        return subset_maxima(groups.best(groups.utilities(), mask), _choose_k(self.k, groups.rewards.shape[1]))


@dataclass(frozen=True)
class PassAtK(Objective):
    """Pass@k training in closed form (arXiv 2508.10751): subsets of k are the samples, paid 1 if one member solves.

    A completion solves when its best answer reaches ``threshold`` times the utility of a vector of ones.

    Attributes:
        k: Size of the subsets; None for ``max(2, G // 2)``.
        threshold: Share of the utility of ones under w* that counts as solved.

    Raises:
        ValueError: ``k`` is below 1, or ``threshold`` is not in (0, 1].
    """

    k: int | None = None
    threshold: float = 1.0

    name: ClassVar[str] = "pass_at_k"
    paid_by_scores: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_k(self.k)
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}: expected a share in (0, 1]. 1 means fully solved.")

    def scores(self, groups: AnswerGroups, mask: Tensor | None = None) -> Tensor:
        """1 for a completion that solves, else 0; see `Objective.scores`."""
        return solved(groups, groups.best(groups.utilities(), mask), mask, self.threshold)

    def advantages(self, groups: AnswerGroups, scores: Tensor, scale: Scale = "group") -> Tensor:
        """Mean over the k-subsets that hold a completion of their normalised reward; see `Objective.advantages`.

        ``scale="none"`` leaves out the division by the standard deviation over subsets.
        """
        size = scores.shape[1]
        k = _choose_k(self.k, size)
        # P(no success in a subset), and the same given that a failed completion is in it, by the number of failures.
        none = scores.new_tensor([comb(n, k) / comb(size, k) for n in range(size + 1)])
        given = [0.0, *(comb(n - 1, k - 1) / comb(size - 1, k - 1) for n in range(1, size + 1))]
        failures = (scores == 0).sum(dim=1, keepdim=True)
        mean = 1 - none[failures]
        sigma = (mean * (1 - mean)).sqrt()
        solves = 1 - mean
        fails = 1 - mean - scores.new_tensor(given)[failures]
        centred = torch.where(scores > 0, solves, fails)
        if scale == "none":
            return torch.where(sigma > 0, centred, 0.0)
        return torch.where(sigma > 0, centred / sigma.clamp(min=1e-12), 0.0)


def subset_maxima(scores: Tensor, k: int) -> Tensor:
    """For each member of a group, the sum of the maxima of the k-subsets that hold it, divided by C(G, k).

    Args:
        scores: (P, G).
        k: 1 <= k <= G.

    Returns:
        (P, G), of the type of ``scores``; with k = 1 ``scores / G``.
    """
    size = scores.shape[1]
    wide = scores.float() if scores.device.type == "mps" else scores.double()  # equal scores stay equal when rounded
    ascending, order = wide.sort(dim=1, stable=True)
    total = comb(size, k)
    own = wide.new_tensor([comb(rank, k - 1) / total for rank in range(size)])  # it is the largest of the subset
    other = wide.new_tensor([comb(rank - 1, k - 2) / total if k > 1 and rank else 0.0 for rank in range(size)])
    above = (other * ascending).flip(1).cumsum(1).flip(1) - other * ascending  # of strictly higher rank
    return torch.zeros_like(wide).scatter(1, order, own * ascending + above).to(scores.dtype)


def solved(groups: AnswerGroups, best: Tensor, mask: Tensor | None, threshold: float = 1.0) -> Tensor:
    """(P, G) 1.0 where ``best`` reaches ``threshold`` times the utility of a vector of ones, else 0.0."""
    w_star = groups.w_star.to(groups.rewards)
    enough = threshold * w_star.sum(dim=-1) - 1e-5 * w_star.abs().sum(dim=-1)  # the slack is for rounding only
    exists = (groups.mask if mask is None else mask).any(dim=-1)
    return ((best >= enough.unsqueeze(1)) & exists).to(groups.rewards.dtype)


def _check_k(k: int | None) -> None:
    if k is not None and (not isinstance(k, int) or isinstance(k, bool) or k < 1):
        raise ValueError(f"k is {k!r}: expected a whole number of at least 1, or None for half of the group.")


def _choose_k(k: int | None, size: int) -> int:
    """At most the group: an evaluation's may be smaller than training's."""
    return min(max(2, size // 2) if k is None else k, size)
