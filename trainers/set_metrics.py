"""What a trainer logs of answer sets, next to TRL's own metrics.

Shape letters: N completions of all processes, G in a group, M answers a completion, D components, P prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def set_metrics(
    rewards: Tensor,
    mask: Tensor,
    group_size: int,
    components: Sequence[str] | None,
    applies: Tensor | None = None,
) -> dict[str, float]:
    """Metrics of one generation batch.

    Args:
        rewards: (N, M, D) reward vectors, zeros where there is no answer.
        mask: (N, M) answers that exist.
        group_size: G.
        components: D names, or None while they are not known.
        applies: (P, D) bool, components that each prompt has; None for all of them.

    Returns:
        ``set/answers`` read in a completion, ``set/parse_failure_rate`` (share of completions without any),
        ``set/pool_l1`` and the mean of each component over the answers that it applies to.
    """
    count = mask.sum()
    answers = mask.view(-1, group_size * mask.shape[1]).sum(dim=1, keepdim=True)  # (P, 1)
    judged = (answers.expand(-1, rewards.shape[2]) if applies is None else answers * applies).sum(dim=0)
    means = rewards.sum(dim=(0, 1)) / judged.clamp(min=1)
    return {
        "set/answers": (count / len(mask)).item(),
        "set/parse_failure_rate": (~mask.any(dim=1)).float().mean().item(),
        "set/pool_l1": pool_l1(rewards, mask, group_size),
        **{f"components/{name}/mean": mean for name, mean in zip(components or (), means.tolist(), strict=False)},
    }


def pool_l1(rewards: Tensor, mask: Tensor, group_size: int) -> float:
    """Mean L1 distance between the reward vectors of two answers to the same prompt, averaged over prompts.

    Args:
        rewards: (N, M, D).
        mask: (N, M); answers that do not exist are left out.
        group_size: G; a prompt's pool is all the answers of its group.

    Returns:
        The mean over the prompts with at least two answers; 0.0 if there is none.
    """
    pools = rewards.view(-1, group_size * rewards.shape[1], rewards.shape[2])  # (P, G*M, D)
    exists = mask.view(len(pools), -1).float()
    pairs = exists.unsqueeze(1) * exists.unsqueeze(2)
    total = (torch.cdist(pools, pools, p=1) * pairs).sum(dim=(1, 2))
    count = exists.sum(dim=1) * (exists.sum(dim=1) - 1)
    valid = count > 0
    return (total[valid] / count[valid]).mean().item() if valid.any() else 0.0
