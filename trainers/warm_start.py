"""Warm start: a short supervised phase before reinforcement learning.

RL from a policy that never earns a reward teaches nothing, so a small policy first imitates varied, feasible answers.
This is TRL's ``SFTTrainer``; the one thing added is that a looped policy may be trained at a random depth, which makes
loops beyond the first useful and extra ones neutral, and goes back to its own depth afterwards.
"""

from __future__ import annotations

from typing import Any

from trl import SFTTrainer

from vpo.looped import DepthPolicy, looped_policy


class WarmStartTrainer(SFTTrainer):
    """``SFTTrainer`` for looped policies.

    Args:
        depth_policy: Depth used while training, e.g. ``RandomDepth(1, 3)``; None trains at the model's own depth.
        **kwargs: Everything that ``SFTTrainer`` takes.

    Raises:
        ValueError: A depth policy was given for a model that has no loop.
    """

    def __init__(self, *args: Any, depth_policy: DepthPolicy | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.training_depth = depth_policy
        if depth_policy is not None and looped_policy(self.accelerator.unwrap_model(self.model)) is None:
            raise ValueError(f"{type(self.model).__name__} has no loop: leave depth_policy out, or use a looped model.")

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train at the training depth, then restore the model's own."""
        if self.training_depth is None:
            return super().train(*args, **kwargs)
        model = looped_policy(self.accelerator.unwrap_model(self.model))
        assert model is not None  # checked in the constructor
        own, model.depth_policy = model.depth_policy, self.training_depth
        try:
            return super().train(*args, **kwargs)
        finally:
            model.depth_policy = own
