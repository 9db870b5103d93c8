"""Is a vector reward a vector in fact? Where all components move together, VPO costs a little and gives nothing.

What a set objective can gain is the difference between choosing an answer for each taste and choosing one for all:
``E_w max_y w . r(y) - max_y E[w] . r(y)``. It is 0 for any answers under a scalar reward. Its share of what choosing is
worth at all, ``E_w max_y w . r(y) - mean_y E[w] . r(y)``, is the *specialist gain* of a prompt's answers. Beside it
stands the correlation of components, by which the VPO paper (appendix F) tells where its method does not help; that
alone predicts little: components that correlate by .8 over all answers may still trade off among the good ones.

Rewards must be *on-policy*: what matters is which trade-offs the policy's own answers offer.

Shape letters: P prompts, A answers to a prompt, D components, K weightings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from vpo.objective import set_reward
from vpo.weightings import Dirichlet

Verdict = Literal["vector", "scalar", "undecided"]
_SMALL = 0.05  # share of what choosing is worth below which a taste of one's own is worth nothing
_DRAWS = 256


@dataclass(frozen=True)
class RewardGeometry:
    """What on-policy reward vectors look like.

    Attributes:
        specialist_gain: Share of the worth of choosing that needs a choice by taste, in [0, 1]; the mean over prompts
            weighted by what choosing is worth there. NaN if no prompt offers a choice.
        error: Its standard error over prompts.
        correlation: Mean off-diagonal Pearson correlation of the components, over answers about their prompt's mean;
            NaN with one component, or where fewer than two components vary.
        effective_rank: Exponential of the entropy of the covariance's eigenvalues, in [1, D]; NaN if nothing varies.
        prompts: Prompts that offered a choice, so that they count.
    """

    specialist_gain: float
    error: float
    correlation: float
    effective_rank: float
    prompts: int

    @property
    def worth(self) -> str:
        """The gain in words, with its standard error where there are prompts enough for one."""
        if math.isnan(self.specialist_gain):
            return "no prompt offered a choice between unequal answers, so what choosing by taste is worth is not known"
        error = "" if math.isnan(self.error) else f" +- {self.error:.1%}"
        return f"choosing by taste is worth {self.specialist_gain:.1%}{error} of what choosing is worth"

    @property
    def verdict(self) -> Verdict:
        """What the gain says: "scalar" if two standard errors above it is small, "vector" if two below is not."""
        if math.isnan(self.specialist_gain) or math.isnan(self.error):
            return "undecided"
        if self.specialist_gain + 2 * self.error < _SMALL:
            return "scalar"
        return "vector" if self.specialist_gain - 2 * self.error > _SMALL else "undecided"

    def explain(self) -> str:
        """The verdict in words, with what to do about it."""
        figures = f"{self.worth}, over {self.prompts} prompts"
        if not math.isnan(self.correlation):
            figures += f"; mean correlation of components {self.correlation:.2f}"
        if not math.isnan(self.effective_rank):
            figures += f", effective rank {self.effective_rank:.1f}"
        if self.verdict == "scalar":
            return (
                f"the vector reward is a scalar in fact: {figures}. A set objective costs its longer completions and "
                "gives nothing here. Use objective 'grpo' or 'max_at_k', or components that conflict."
            )
        if self.verdict == "vector":
            return f"the reward is a vector: {figures}."
        return f"not enough to tell a vector reward from a scalar one: {figures}. Look at more prompts."


def reward_geometry(rewards: Tensor, mask: Tensor, seed: int = 0) -> RewardGeometry:
    """Measure on-policy rewards.

    Args:
        rewards: (P, A, D) reward vectors of answers to the same prompts, as a pool over completions.
        mask: (P, A) bool, answers that exist.
        seed: Of the weightings that tastes are drawn with; they are the same for all prompts.

    Returns:
        The figures.

    Raises:
        ValueError: The shapes do not fit.
    """
    if rewards.ndim != 3 or mask.shape != rewards.shape[:2]:
        raise ValueError(
            f"rewards are {tuple(rewards.shape)} and mask {tuple(mask.shape)}: expected (P, A, D) and (P, A)."
        )
    gain, worth = taste_gain(rewards, mask, seed)
    share, error, count = gain_share(gain.tolist(), worth.tolist())
    correlation, rank = _spread(rewards, mask)
    return RewardGeometry(share, error, correlation, rank, count)


def gain_share(gain: Sequence[float], worth: Sequence[float]) -> tuple[float, float, int]:
    """Share that gains have in worths, over prompts.

    Args:
        gain: What choosing by taste adds, one a prompt, as from `taste_gain`.
        worth: What choosing is worth.

    Returns:
        The share, its standard error, and the number of prompts that offered a choice; NaN where they do not suffice.
    """
    pairs = [(g, w) for g, w in zip(gain, worth, strict=True) if w > 1e-9]
    count, total = len(pairs), sum(w for _, w in pairs)
    if not count:
        return math.nan, math.nan, 0
    share = sum(g for g, _ in pairs) / total
    if count == 1:
        return share, math.nan, 1
    variance = sum((g - share * w) ** 2 for g, w in pairs) / (count - 1)  # of a ratio of means, by linearisation
    return share, math.sqrt(variance / count) / (total / count), count


def taste_gain(rewards: Tensor, mask: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """What choosing by taste adds to choosing once, and what choosing is worth at all.

    Args:
        rewards: (P, A, D).
        mask: (P, A).
        seed: Of the weightings.

    Returns:
        (P,) each, float64, the first at most the second; 0 where there are fewer than two answers.
    """
    wide = torch.where(mask.unsqueeze(-1), rewards, 0.0).cpu().double()
    mask = mask.cpu()
    weights = _tastes(rewards.shape[-1], seed)
    mean = weights.mean(dim=0)  # of the draws themselves, so that a scalar reward gains exactly nothing
    by_taste = set_reward(wide, weights, mask)
    utility = wide @ mean
    once = torch.where(mask.any(dim=1), utility.masked_fill(~mask, -torch.inf).amax(dim=1), 0.0)
    blind = (utility * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    several = mask.sum(dim=1) > 1
    zero = torch.zeros_like(once)
    return torch.where(several, (by_taste - once).clamp(min=0), zero), torch.where(several, by_taste - blind, zero)


@lru_cache(maxsize=8)
def _tastes(dim: int, seed: int) -> Tensor:
    """(K, D) weightings, each with its rotations, so that their mean is the centre to the last bit."""
    drawn = Dirichlet(1.0).draw(-(-_DRAWS // dim), dim, seed).double()
    return torch.cat([drawn.roll(shift, dims=1) for shift in range(dim)])


def _spread(rewards: Tensor, mask: Tensor) -> tuple[float, float]:
    """Mean correlation and effective rank of answers about their prompt's mean."""
    values = torch.where(mask.unsqueeze(-1), rewards, 0.0).cpu().double()
    exists = mask.cpu().unsqueeze(-1)
    mean = values.sum(dim=1, keepdim=True) / exists.sum(dim=1, keepdim=True).clamp(min=1)
    rows = (values - mean)[exists.squeeze(-1)]  # (answers, D)
    covariance = rows.T @ rows / max(len(rows), 1)
    varies = covariance.diagonal() > 1e-12
    correlation, rank = math.nan, math.nan
    if varies.any():
        eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
        shares = eigenvalues / eigenvalues.sum()
        rank = torch.special.entr(shares).sum().exp().item()
    if varies.sum() > 1:
        kept = covariance[varies][:, varies]
        scale = kept.diagonal().sqrt()
        matrix = kept / scale / scale.unsqueeze(1)
        size = len(matrix)
        correlation = ((matrix.sum() - size) / (size * (size - 1))).item()
    return correlation, rank
