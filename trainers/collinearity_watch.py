"""Says once, during training, when a vector reward turns out to be a scalar.

Shape letters: N completions of all processes, G in a group, M answers a completion, D components.
"""

from __future__ import annotations

import logging
import math

from torch import Tensor

from vpo.collinearity import RewardGeometry, gain_share, taste_gain

logger = logging.getLogger(__name__)
_ENOUGH = 64  # prompts that offered a choice, before anything is said


class CollinearityWatch:
    """Adds up what tastes are worth over the batches of a run.

    Args:
        warns: Whether to say so when they are worth nothing.
    """

    def __init__(self, warns: bool) -> None:
        self.warns = warns
        self._gain: list[float] = []
        self._worth: list[float] = []

    def see(self, rewards: Tensor, mask: Tensor, group_size: int) -> float:
        """Take in one generation batch.

        Args:
            rewards: (N, M, D) reward vectors of all processes.
            mask: (N, M) answers that exist.
            group_size: G.

        Returns:
            The batch's specialist gain, in [0, 1]; 0 where no prompt offers a choice.
        """
        pools = rewards.reshape(-1, group_size * rewards.shape[1], rewards.shape[2])
        gain, worth = taste_gain(pools, mask.reshape(len(pools), -1))
        if self.warns:
            self._gain.extend(gain.tolist())
            self._worth.extend(worth.tolist())
            self._look()
        total = worth.sum().item()
        return gain.sum().item() / total if total > 0 else 0.0

    def _look(self) -> None:
        share, error, prompts = gain_share(self._gain, self._worth)
        if prompts < _ENOUGH:
            return
        found = RewardGeometry(share, error, math.nan, math.nan, prompts)
        if found.verdict == "scalar":
            logger.warning("%s", found.explain())
        if found.verdict != "undecided":
            self.warns = False  # said once, or nothing to say
