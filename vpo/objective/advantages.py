"""From scores to advantages within a group: the baselines and scales that the field has agreed on.

All are pure functions of tensors: no gradient flows, no state is kept.

Shape letters: N completions, G completions a group, P groups.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Scale = Literal["group", "batch", "none"]


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
    advantages = advantages / score_scale(groups, scale, eps)
    is_flat = (groups == groups[:, :1]).all(dim=1, keepdim=True)
    return torch.where(is_flat, 0.0, advantages).reshape(-1)


def score_scale(groups: Tensor, scale: Scale, eps: float = 1e-4) -> Tensor:
    """What the advantages of groups are divided by.

    Args:
        groups: (P, G) scores.
        scale: As for `group_advantages`.
        eps: Added to the standard deviation.

    Returns:
        (P, 1) of "group", (1, 1) otherwise.
    """
    if scale == "group":
        return sample_std(groups) + eps
    if scale == "batch":
        return sample_std(groups.reshape(1, -1)) + eps
    return groups.new_ones(1, 1)


def normalize_then_sum(values: Tensor, weights: Tensor, eps: float = 1e-4) -> Tensor:
    """GDPO (arXiv 2601.05242): each component normalised within its group, then weighted, summed and whitened.

    A component on which a whole group agrees adds nothing, instead of its rounding error divided by ``eps``.

    Args:
        values: (P, G, D) one reward vector a completion.
        weights: (P, D).
        eps: Added to standard deviations.

    Returns:
        (P, G) advantages, of mean 0 and standard deviation 1 over the batch.
    """
    prompts, group_size, dim = values.shape
    rows = values.transpose(1, 2).reshape(-1, group_size)  # (P * D, G)
    flat = (rows == rows[:, :1]).all(dim=1, keepdim=True)
    normalised = (rows - rows.mean(dim=1, keepdim=True)) / (sample_std(rows) + eps)
    normalised = torch.where(flat, 0.0, normalised).view(prompts, dim, group_size)
    joined = (normalised.transpose(1, 2) * weights.to(values)[:, None]).sum(dim=-1)  # (P, G)
    if (joined == joined[:1, :1]).all():
        return torch.zeros_like(joined)
    return (joined - joined.mean()) / (sample_std(joined.reshape(1, -1)) + eps)


def sample_std(rows: Tensor) -> Tensor:
    """(R, 1) unbiased standard deviations of (R, C) rows, in the order of operations of TRL's ``nanstd``."""
    if rows.shape[1] < 2:
        return torch.zeros_like(rows[:, :1])
    count = torch.tensor(rows.shape[1], device=rows.device, dtype=rows.dtype)  # so count / (count - 1) rounds as TRL's
    variance = ((rows - rows.mean(dim=1, keepdim=True)) ** 2).mean(dim=1, keepdim=True)
    return (variance * (count / (count - 1))).sqrt()


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
