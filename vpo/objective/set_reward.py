"""Set rewards: what a set of answers is worth to somebody whose taste is not known.

``R(S) = mean_k max_{y in S} w_k . r(y)`` (VPO, arXiv 2605.22817, eq. 1): the best answer of the set for each taste,
averaged over tastes. The max is inside, the mean outside: a set earns by covering tastes, and an answer that is best
for none of them earns nothing. A linear taste never picks a compromise that lies below the line between two
specialists; the Chebyshev scalarisation and the hypervolume pay for those as well.

Shape letters: M answers a set, K weightings, D components.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

MOST_FOR_HYPERVOLUME = 12  # answers: inclusion and exclusion over all their subsets


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
    if weights.shape[-2] == 1:
        utility = (rewards * weights.to(rewards)).sum(dim=-1, keepdim=True)  # (..., M, 1)
    else:
        # A matrix product rounds equal rows differently at the edge of a block. In double precision that vanishes when
        # the score is rounded back, so equal sets get equal scores, and a group of them advantages of exactly 0.
        wide = _wide(rewards)
        utility = wide @ weights.to(wide).transpose(-1, -2)  # (..., M, K)
    return _mean_of_best(utility, mask).to(rewards.dtype)


def chebyshev_set_reward(rewards: Tensor, weights: Tensor, mask: Tensor | None = None, ideal: float = 1.0) -> Tensor:
    """As `set_reward`, with tastes that are content with an answer as far as its worst shortfall allows.

    The utility of an answer under w is ``max_d w_d z - max_d w_d (z - r_d)``, z the ideal: the weighted Chebyshev
    distance to the ideal point, turned so that an answer of zeros has 0. Every Pareto-optimal answer, below the convex
    hull or not, is best for some w (Miettinen, Nonlinear Multiobjective Optimization, theorem 3.4.5).

    Args:
        rewards: (..., M, D), at most ``ideal``.
        weights: (K, D) or (..., K, D), non-negative.
        mask: (..., M) bool or None.
        ideal: The best value of every component.

    Returns:
        (...) set rewards; 0 for a set without an answer.

    Raises:
        ValueError: The shapes do not fit.
    """
    mask = _check_sets(rewards, weights, mask)
    if rewards.shape[-2] == 0:
        return rewards.new_zeros(rewards.shape[:-2])
    wide = _wide(rewards)
    tastes = weights.to(wide)
    shortfall = wide.new_full((), -torch.inf)
    for component in range(rewards.shape[-1]):  # a loop over D spares a tensor of (..., M, K, D)
        weight = tastes[..., component].unsqueeze(-2)  # (..., 1, K)
        shortfall = torch.maximum(shortfall, weight * (ideal - wide[..., component].unsqueeze(-1)))
    utility = ideal * tastes.amax(dim=-1).unsqueeze(-2) - shortfall  # (..., M, K)
    return _mean_of_best(utility, mask).to(rewards.dtype)


def hypervolume(rewards: Tensor, mask: Tensor | None = None, reference: float = 0.0) -> Tensor:
    """Volume that a set dominates, by inclusion and exclusion: exact, without a weighting.

    Args:
        rewards: (..., M, D) with M at most 12.
        mask: (..., M) bool or None.
        reference: Value of every component at the corner from which volume is measured; what lies below counts as at
            it. An answer that is at the reference in one component dominates no volume at all.

    Returns:
        (...) volumes; 0 for a set without an answer.

    Raises:
        ValueError: There are more than 12 answers, or the shapes do not fit.
    """
    answers, dim = rewards.shape[-2:]
    if answers > MOST_FOR_HYPERVOLUME:
        raise ValueError(
            f"the hypervolume of {answers} answers: expected at most {MOST_FOR_HYPERVOLUME}, as all their subsets are "
            "visited. Use the Chebyshev scalarisation, which pays for the same points."
        )
    mask = _check_sets(rewards, rewards.new_ones(1, dim), mask)
    wide = _wide(rewards)
    sides = torch.where(mask.unsqueeze(-1), (wide - reference).clamp(min=0), 0.0)
    volume = wide.new_zeros(rewards.shape[:-2])
    for size in range(1, answers + 1):
        for members in itertools.combinations(range(answers), size):
            common = sides[..., list(members), :].amin(dim=-2).prod(dim=-1)
            volume = volume + common if size % 2 else volume - common
    return volume.clamp(min=0).to(rewards.dtype)


def exact_set_reward(rewards: Tensor, concentration: Tensor, mask: Tensor | None = None) -> Tensor:
    """`set_reward` integrated over the Dirichlet instead of averaged over draws; for two components.

    With w = (t, 1 - t) the utility of an answer is a line in t, the best of the set their upper envelope, and t has a
    Beta distribution: between the crossings of the lines both are known in closed form.

    Args:
        rewards: (..., M, 2).
        concentration: (..., 2) parameters of the Dirichlet, broadcasting to the leading dimensions of ``rewards``;
            with one of them 0 all weight is on the other component.
        mask: (..., M) bool or None.

    Returns:
        (...) expected set rewards; 0 for a set without an answer.

    Raises:
        ValueError: There are not two components.
    """
    from scipy.special import betainc  # lazy: only this estimator needs it

    if rewards.shape[-1] != 2:
        raise ValueError(
            f"exact integration of {rewards.shape[-1]} components: expected 2. Draw weightings instead (Sobol points "
            "have the least variance)."
        )
    mask = _check_sets(rewards, rewards.new_ones(1, 2), mask)
    lead, answers = rewards.shape[:-2], rewards.shape[-2]
    if not answers:
        return rewards.new_zeros(lead)
    lines = _fill_missing(rewards, mask).cpu().double().numpy()  # a copy of an answer changes no maximum
    slope, offset = lines[..., 0] - lines[..., 1], lines[..., 1]  # (..., M)
    left, right = np.triu_indices(answers, k=1)
    steeper = slope[..., left] - slope[..., right]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = (offset[..., right] - offset[..., left]) / steeper
    crossings = np.clip(np.nan_to_num(crossings, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    ends = np.zeros((*lead, 1))
    edges = np.sort(np.concatenate([ends, crossings, ends + 1], axis=-1), axis=-1)
    middle = (edges[..., :-1] + edges[..., 1:]) / 2
    best = (slope[..., None, :] * middle[..., None] + offset[..., None, :]).argmax(axis=-1)  # one line a piece
    a, b = np.moveaxis(np.broadcast_to(concentration.cpu().double().numpy(), (*lead, 2)), -1, 0)
    if ((a < 0) | (b < 0) | (a + b <= 0)).any():
        raise ValueError("concentration holds a negative number, or none above 0: expected a Dirichlet's parameters.")
    certain = (a == 0) | (b == 0)
    safe_a, safe_b = (np.where(certain, 1.0, x)[..., None] for x in (a, b))
    mass = np.diff(betainc(safe_a, safe_b, edges), axis=-1)
    moment = np.diff(betainc(safe_a + 1, safe_b, edges), axis=-1) * safe_a / (safe_a + safe_b)
    value = (np.take_along_axis(slope, best, -1) * moment + np.take_along_axis(offset, best, -1) * mass).sum(axis=-1)
    corner = np.where(a == 0, offset.max(axis=-1), (slope + offset).max(axis=-1))
    score = torch.from_numpy(np.where(certain, corner, value)).to(rewards)
    return torch.where(mask.any(dim=-1), score, 0.0)


def _mean_of_best(utility: Tensor, mask: Tensor) -> Tensor:
    """(..., M, K) -> (...): max over answers inside, mean over tastes outside; 0 without an answer."""
    best = utility.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=-2)
    return torch.where(mask.any(dim=-1), best.mean(dim=-1), 0.0)


def _wide(rewards: Tensor) -> Tensor:
    return rewards.float() if rewards.device.type == "mps" else rewards.double()


def _fill_missing(rewards: Tensor, mask: Tensor) -> Tensor:
    """Put the first existing answer in the place of each missing one."""
    first = mask.to(torch.uint8).argmax(dim=-1, keepdim=True).unsqueeze(-1)  # (..., 1, 1); 0 when none exists
    filled = torch.where(mask.unsqueeze(-1), rewards, rewards.take_along_dim(first, dim=-2))
    return torch.where(mask.any(dim=-1)[..., None, None], filled, 0.0)


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
