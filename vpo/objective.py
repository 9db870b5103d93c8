"""Set reward and group advantages: what a completion with several answers is paid (VPO, arXiv 2605.22817, eq. 1).

``R(S) = mean_k max_{y in S} w_k . r(y)``: the best answer of the set for each taste, averaged over tastes. The max is
inside, the mean outside: a set earns by covering tastes, and an answer that is best for none of them earns nothing.

An *objective* turns the answers of N completions into N scores; `group_advantages` turns the scores into advantages as
TRL's GRPO does (sample standard deviation, eps 1e-4; the authors' own code uses the population one and 1e-6). All are
pure functions of tensors: no gradient flows, no state is kept, no random number drawn.

Shape letters: N completions, G completions a group, M answers a completion, K weightings, D components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

Scale = Literal["group", "batch", "none"]


def set_reward(rewards: Tensor, weights: Tensor, mask: Tensor | None = None) -> Tensor:
    """Score each answer set by its best answer under every weighting, then average over weightings.

    Args:
        rewards: (..., M, D) reward vectors, higher is better; any common unit.
        weights: (K, D) weightings for all sets, or (..., K, D) whose leading dimensions broadcast to those of
            ``rewards``, for instance (P, 1, K, D) against (P, G, M, D): one draw a group.
        mask: (..., M) bool, False where there is no answer (what ``rewards`` holds there is not read); None when all
            answers exist.

    Returns:
        (...) set rewards in the unit of ``rewards``; 0 for a set without an answer. With K = 1 the utility is the
        plain sum of products, as in TRL, so that M = 1 with fixed weights is GRPO to the last bit.

    Raises:
        ValueError: The shapes do not fit, or D or K is 0.
    """
    mask = _check_sets(rewards, weights, mask)
    if rewards.shape[-2] == 0:
        return rewards.new_zeros(rewards.shape[:-2])
    filled = _fill_missing(rewards, mask)
    if weights.shape[-2] == 1:
        utility = (filled * weights.to(filled)).sum(dim=-1, keepdim=True)  # (..., M, 1)
    else:
        # A matrix product rounds equal rows differently at the edge of a block. In double precision that vanishes when
        # the score is rounded back, so equal sets get equal scores, and a group of them advantages of exactly 0.
        wide = filled.float() if filled.device.type == "mps" else filled.double()
        utility = wide @ weights.to(wide).transpose(-1, -2)  # (..., M, K)
    score = utility.amax(dim=-2).mean(dim=-1)  # max over answers inside, mean over tastes outside
    return torch.where(mask.any(dim=-1), score, 0.0).to(rewards.dtype)


def group_advantages(scores: Tensor, group_size: int, scale: Scale = "group", eps: float = 1e-4) -> Tensor:
    """Advantages of completions within their group, as TRL's GRPO (1.16) computes them.

    Unlike TRL, a group whose scores are all equal gets exactly 0 rather than its rounding error divided by ``eps``.

    Args:
        scores: (N,) one score a completion; the members of a group stand next to each other.
        group_size: G, completions a group; N is a multiple of it. With G = 1 every advantage is 0.
        scale: Divide by the standard deviation of the "group" (GRPO), of the whole "batch", or not at all ("none",
            as Dr. GRPO).
        eps: Added to the standard deviation, in the unit of the scores.

    Returns:
        (N,) advantages.

    Raises:
        ValueError: ``scores`` is not (N,) floating point, holds NaN or infinity, N is no multiple of ``group_size``,
            or ``scale`` is unknown.
    """
    _check_scores(scores, group_size, scale)
    groups = scores.reshape(-1, group_size)
    advantages = groups - groups.mean(dim=1, keepdim=True)
    if scale == "group":
        advantages = advantages / (_sample_std(groups) + eps)
    elif scale == "batch":
        advantages = advantages / (_sample_std(scores.reshape(1, -1)) + eps)
    is_flat = (groups == groups[:, :1]).all(dim=1, keepdim=True)
    return torch.where(is_flat, 0.0, advantages).reshape(-1)


class Objective(Protocol):
    """How the answers of a completion become one score.

    Attributes:
        name: The name it is chosen by.
        uses_drawn_weightings: Whether ``weights`` is read; if not, none need be drawn.
    """

    name: ClassVar[str]
    uses_drawn_weightings: ClassVar[bool]

    def scores(self, rewards: Tensor, mask: Tensor, weights: Tensor | None, w_star: Tensor) -> Tensor:
        """Score completions.

        Args:
            rewards: (N, M, D) reward vectors.
            mask: (N, M) bool, False where there is no answer.
            weights: (K, D) or (N, K, D) drawn weightings; None allowed when they are not used.
            w_star: (D,) weights of deployment.

        Returns:
            (N,) scores, 0 for a completion without an answer.
        """
        ...


@dataclass(frozen=True)
class VPO:
    """Set reward under drawn weightings (arXiv 2605.22817)."""

    name: ClassVar[str] = "vpo"
    uses_drawn_weightings: ClassVar[bool] = True

    def scores(self, rewards: Tensor, mask: Tensor, weights: Tensor | None, w_star: Tensor) -> Tensor:
        """Mean over the weightings of the best answer's utility; see `Objective.scores`."""
        if weights is None:
            raise ValueError("objective 'vpo' got no weightings: expected (K, D) or (N, K, D). Draw a Dirichlet.")
        return set_reward(rewards, weights, mask)


@dataclass(frozen=True)
class GRPO:
    """The utility of a single answer under w*: the first one that exists, others are ignored."""

    name: ClassVar[str] = "grpo"
    uses_drawn_weightings: ClassVar[bool] = False

    def scores(self, rewards: Tensor, mask: Tensor, weights: Tensor | None, w_star: Tensor) -> Tensor:
        """``w* . r`` of the first answer; see `Objective.scores`."""
        mask = _check_sets(rewards, w_star.view(1, -1), mask)
        first = _fill_missing(rewards, mask)[:, :1]  # where answer 1 is missing, the first that exists stands there
        return set_reward(first, w_star.view(1, -1), mask.any(dim=-1, keepdim=True))


@dataclass(frozen=True)
class MultiRLVR:
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
    uses_drawn_weightings: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.aggregation not in ("sum", "max", "any"):
            raise ValueError(
                f"aggregation is {self.aggregation!r}: expected 'sum', 'max' or 'any'. Use 'sum' for the baseline of "
                "the VPO authors."
            )

    def scores(self, rewards: Tensor, mask: Tensor, weights: Tensor | None, w_star: Tensor) -> Tensor:
        """The answers' utilities under w*, aggregated; see `Objective.scores`."""
        w_star = w_star.to(rewards)
        if self.aggregation != "sum":
            best = set_reward(rewards, w_star.view(1, -1), mask)
            if self.aggregation == "max":
                return best
            solved = best >= w_star.sum() - 1e-5 * w_star.abs().sum()  # the slack is for rounding only
            return (solved & mask.any(dim=-1)).to(rewards.dtype)
        mask = _check_sets(rewards, w_star.view(1, -1), mask)
        if self.distinct:
            mask = mask & ~_repeats_earlier(rewards, mask)
        utility = (rewards * w_star).sum(dim=-1)  # (N, M)
        return torch.where(mask, utility, 0.0).sum(dim=-1)


OBJECTIVES: dict[str, Callable[..., Objective]] = {cls.name: cls for cls in (VPO, GRPO, MultiRLVR)}


def make_objective(name: str, **options: Any) -> Objective:
    """Build an objective by its name.

    Args:
        name: A key of ``OBJECTIVES``.
        **options: Fields of that objective, such as ``aggregation="max"`` for "multi_rlvr".

    Returns:
        The objective.

    Raises:
        ValueError: The name, or an option's value, is unknown.
        TypeError: The objective has no such option.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective is {name!r}: expected one of {', '.join(sorted(OBJECTIVES))}.")
    try:
        return OBJECTIVES[name](**options)
    except TypeError as error:
        raise TypeError(
            f"objective {name!r} does not take the options {sorted(options)}: {error}. Take out what it does not know."
        ) from error


def _fill_missing(rewards: Tensor, mask: Tensor) -> Tensor:
    """Put the first existing answer in the place of each missing one: a copy changes no maximum."""
    first = mask.to(torch.uint8).argmax(dim=-1, keepdim=True).unsqueeze(-1)  # (..., 1, 1); 0 when none exists
    stand_in = rewards.take_along_dim(first, dim=-2)  # (..., 1, D)
    return torch.where(mask.unsqueeze(-1), rewards, stand_in)


def _repeats_earlier(rewards: Tensor, mask: Tensor) -> Tensor:
    """(N, M) bool: an existing answer before this one has the same reward vector."""
    same = mask.unsqueeze(-1) & mask.unsqueeze(-2)  # (N, M, M)
    for component in rewards.unbind(dim=-1):  # a loop over D spares a tensor of (N, M, M, D)
        same = same & (component.unsqueeze(-1) == component.unsqueeze(-2))
    return same.tril(diagonal=-1).any(dim=-1)


def _sample_std(rows: Tensor) -> Tensor:
    """(R, 1) unbiased standard deviations of (R, C) rows, in the order of operations of TRL's ``nanstd``."""
    if rows.shape[1] < 2:
        return torch.zeros_like(rows[:, :1])
    count = torch.tensor(rows.shape[1], device=rows.device, dtype=rows.dtype)  # so count / (count - 1) rounds as TRL's
    variance = ((rows - rows.mean(dim=1, keepdim=True)) ** 2).mean(dim=1, keepdim=True)
    return (variance * (count / (count - 1))).sqrt()


def _check_sets(rewards: Tensor, weights: Tensor, mask: Tensor | None) -> Tensor:
    if rewards.ndim < 2 or weights.ndim < 2 or rewards.shape[-1] != weights.shape[-1] or 0 in weights.shape[-2:]:
        raise ValueError(
            f"rewards {tuple(rewards.shape)} and weights {tuple(weights.shape)} do not fit: expected (..., M, D) and "
            "(..., K, D) with the same D, and K and D at least 1. Give one weight a reward component, in their order."
        )
    lead = rewards.shape[:-2]
    try:
        fits = torch.broadcast_shapes(lead, weights.shape[:-2]) == lead
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"weights {tuple(weights.shape)} do not broadcast over rewards {tuple(rewards.shape)}: expected leading "
            "dimensions of 1 or the same size. Repeat each group's weightings for its members, or give a 1 there."
        )
    if mask is None:
        return torch.ones(rewards.shape[:-1], dtype=torch.bool, device=rewards.device)
    if mask.shape != rewards.shape[:-1] or mask.dtype != torch.bool:
        raise ValueError(
            f"mask is {tuple(mask.shape)} of {mask.dtype}: expected {tuple(rewards.shape[:-1])} of torch.bool, True "
            "where an answer exists."
        )
    return mask


def _check_scores(scores: Tensor, group_size: int, scale: str) -> None:
    if scores.ndim != 1 or not scores.is_floating_point():
        raise ValueError(f"scores is {tuple(scores.shape)} of {scores.dtype}: expected (N,) floating point scores.")
    if group_size < 1 or len(scores) % group_size:
        raise ValueError(
            f"{len(scores)} scores do not divide into groups of {group_size}: expected a multiple of it. Give the "
            "scores of whole groups, gathered from all processes."
        )
    if scale not in ("group", "batch", "none"):
        raise ValueError(f"scale is {scale!r}: expected 'group', 'batch' or 'none'. Use 'group' for GRPO.")
    if not scores.isfinite().all():
        index = int((~scores.isfinite()).nonzero()[0])
        raise ValueError(
            f"the score of completion {index} is {scores[index].item()}: expected a finite number. Look for NaN or "
            "infinity in its reward vectors; an unparsable completion scores 0."
        )
