"""Computation as a reward: depth has no gradient of its own, so thrift is taught through the reward.

Under a rule that stops by convergence the number of loops is a step function of the weights. As one more component of
the reward vector its price is chosen by the weighting, as everybody else's.
"""

from __future__ import annotations

from typing import Any


def thrift(completions: list[Any], loop_depth: list[float], loop_cap: list[int], **kwargs: Any) -> list[float]:
    """1 for a completion of one-loop tokens, 0 for one at the cap throughout.

    Args:
        completions: Completions or answers.
        loop_depth: Mean depth of the completion that each belongs to, from the trainer.
        loop_cap: Cap of the depth policy.
        **kwargs: Not used.
    """
    return [1.0 - (depth - 1.0) / max(cap - 1, 1) for depth, cap in zip(loop_depth, loop_cap, strict=True)]
