"""Warm start: a short supervised phase before reinforcement learning.

RL from a policy that never earns a reward teaches nothing, so a small policy first imitates varied, feasible answers.
This is TRL's ``SFTTrainer``; two things are added. A looped policy may be trained at a random depth, which makes
loops beyond the first useful and extra ones neutral, and goes back to its own depth afterwards; and what holds its loop
stable is exempt from weight decay.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from trl import SFTTrainer

from vpo.looped import DepthPolicy, looped_policy
from vpo.looped.injection import Injection
from vpo.looped.scale import LoopNorm


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

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Without what holds the loop stable."""
        return without_loop_parameters(super().get_decay_parameter_names(model), model)


def without_loop_parameters(names: list[str], model: nn.Module) -> list[str]:
    """Parameter names without those of the injection and of the norm between loops.

    Decay would pull a retention to one half (its logit to 0) and shrink the injected signal, whatever the data say; the
    parametrisation bounds the loop, not the optimizer (Parcae, 2604.12946, exempts them as well).
    """
    exempt = {
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if isinstance(module, (Injection, LoopNorm))
        for name, _ in module.named_parameters()
    }
    return [name for name in names if name not in exempt]
