"""Settings of :class:`~trainers.HealingTrainer`: everything of TRL's ``SFTConfig``, and the depth and the teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from trl import SFTConfig

from vpo.looped import RandomDepth


@dataclass
class HealingConfig(SFTConfig):
    r"""Configuration of :class:`~trainers.HealingTrainer`.

    Only what ``SFTConfig`` does not have is listed; every option of that class keeps its meaning, but for `loss_type`
    and `label_smoothing_factor`, which must stay as they are. The defaults follow 2511.07384.

    Parameters:
        cap (`int`, *optional*, defaults to `4`): Mean loops of a sequence at the end of the ramp, and the loops that
            evaluation runs.
        max_loops (`int`, *optional*): Most loops that are ever drawn. Default: `2 * cap - 1`.
        ramp (`str`, *optional*, defaults to `"1-sqrt"`): How the mean goes from 1 to `cap`: `"linear"`, or `"1-sqrt"`,
            which stays shallow for longer and so costs less.
        ramp_share (`float`, *optional*, defaults to `0.5`): Share of training after which the mean is `cap`; 0 for no
            ramp.
        depth_sampler (`str`, *optional*, defaults to `"poisson"`): `"poisson"`, `"lognormal_poisson"` or `"uniform"`.
        grad_loops (`int`, *optional*): Backpropagate through the last so many loops of each sequence. Default: all.
        distill_temperature (`float`, *optional*, defaults to `2.0`): Temperature of teacher and student in the KL.
        alpha (`float`, *optional*, defaults to `0.5`): Weight of the cross-entropy on the labels beside the KL.
        early_weight (`float`, *optional*, defaults to `0.1`): Weight of the KL at a random earlier loop; without it
            only the last loop's state is fit to be read out.
        consistency_weight (`float`, *optional*, defaults to `0.0`): Weight of the squared change that one more pass
            makes of the exit state, relative to it; makes the loop settle. Costs that pass.
        jacobian_weight (`float`, *optional*, defaults to `0.0`): Weight of the mean squared stretch of one pass around
            the state after `cap` loops (Hutchinson, one probe); stronger than consistency, at two passes and a forward
            pass more. Not under FSDP or ZeRO-3.
        teacher_model_init_kwargs (`dict[str, Any]`, *optional*): Keyword arguments for `from_pretrained` when the
            teacher is given by name.
    """

    _VALID_DICT_FIELDS = [*SFTConfig._VALID_DICT_FIELDS, "teacher_model_init_kwargs"]

    cap: int = field(default=4, metadata={"help": "Mean loops of a sequence at the end of the ramp."})
    max_loops: int | None = field(
        default=None, metadata={"help": "Most loops that are ever drawn; default: 2 * cap - 1."}
    )
    ramp: Literal["1-sqrt", "linear"] = field(
        default="1-sqrt", metadata={"help": "How the mean number of loops goes from 1 to cap: '1-sqrt' or 'linear'."}
    )
    ramp_share: float = field(default=0.5, metadata={"help": "Share of training after which the mean is cap."})
    depth_sampler: Literal["poisson", "lognormal_poisson", "uniform"] = field(
        default="poisson", metadata={"help": "Distribution of the loops: 'poisson', 'lognormal_poisson' or 'uniform'."}
    )
    grad_loops: int | None = field(
        default=None, metadata={"help": "Backpropagate through the last so many loops; default: all."}
    )
    distill_temperature: float = field(default=2.0, metadata={"help": "Temperature of the KL to the teacher."})
    alpha: float = field(default=0.5, metadata={"help": "Weight of the cross-entropy beside the KL."})
    early_weight: float = field(default=0.1, metadata={"help": "Weight of the KL at a random earlier loop."})
    consistency_weight: float = field(
        default=0.0, metadata={"help": "Weight of the change that one more pass makes of the exit state."}
    )
    jacobian_weight: float = field(
        default=0.0, metadata={"help": "Weight of the mean squared stretch of one pass around the last state."}
    )
    teacher_model_init_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Keyword arguments for from_pretrained when the teacher is given by name."}
    )

    def __post_init__(self) -> None:
        """Check the options, TRL's first."""
        super().__post_init__()
        if self.loss_type != "nll" or self.label_smoothing_factor:
            raise ValueError(
                f"loss_type is {self.loss_type!r} and label_smoothing_factor is {self.label_smoothing_factor}: healing "
                "has a loss of its own, so they would have no effect. Leave them out."
            )
        if self.cap < 1 or (self.max_loops is not None and self.max_loops < self.cap):
            raise ValueError(
                f"cap is {self.cap} and max_loops {self.max_loops}: expected 1 <= cap <= max_loops. Raise max_loops, "
                "or leave it out."
            )
        if self.ramp not in ("1-sqrt", "linear"):
            raise ValueError(f"ramp is {self.ramp!r}: expected '1-sqrt' or 'linear'.")
        if not 0 <= self.ramp_share <= 1:
            raise ValueError(f"ramp_share is {self.ramp_share}: expected a share of training, 0 to 1.")
        if not self.distill_temperature > 0:
            raise ValueError(f"distill_temperature is {self.distill_temperature}: expected a number above 0.")
        for name in ("alpha", "early_weight", "consistency_weight", "jacobian_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a weight, 0 or more.")
        self.depth_at(1.0)

    def mean_depth(self, progress: float) -> float:
        """Mean loops when ``progress`` (0 to 1) of training is done; a function of that alone, so resuming keeps it."""
        done = min(1.0, progress / self.ramp_share) if self.ramp_share else 1.0
        return 1 + (self.cap - 1) * (done if self.ramp == "linear" else 1 - math.sqrt(1 - done))

    def depth_at(self, progress: float) -> RandomDepth:
        """The depth policy of a training step, ``progress`` (0 to 1) of training being done."""
        mean = self.mean_depth(progress)
        most = 2 * self.cap - 1 if self.max_loops is None else self.max_loops
        if self.depth_sampler == "uniform":  # its mean is the middle of its range
            return RandomDepth(1, min(most, max(1, round(2 * mean - 1))), grad_loops=self.grad_loops)
        return RandomDepth(1, most, self.depth_sampler, mean, self.grad_loops)
