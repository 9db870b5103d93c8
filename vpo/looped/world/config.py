"""Configuration of a looped world model."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from transformers import PreTrainedConfig

from vpo.looped.depth import RandomDepth, as_policy, is_saved, to_dict
from vpo.looped.injection import INJECTIONS


class WorldModelConfig(PreTrainedConfig):
    """Configuration of :class:`~vpo.looped.world.LoopedWorldModel`.

    Args:
        observation_shape: ``(D,)``, a vector; or ``(D, rows, columns)``, a grid of cells with D numbers each, whose
            layers see the neighbouring cells and are the same everywhere.
        observation_kind: ``"real"``: the change is predicted, in standard deviations of the data, and the loss is half
            its squared error. ``"binary"``: the loss is cross-entropy, and a rollout goes on from rounded predictions,
            so that it stays among observations that there are.
        num_actions: Number of actions, if they are numbered; else ``action_size``.
        action_size: Length of an action that is a vector.
        num_rewards: d, components of the reward vector.
        hidden_size: H, width of the state (of each cell, in a grid).
        inner_size: Width of the blocks' hidden layer; twice H by default.
        prelude_layers: Blocks before the loop.
        core_layers: Blocks of the shared core.
        coda_layers: Blocks after the loop.
        injection: How the prelude's output enters each loop, see :mod:`vpo.looped.injection`. ``"diagonal"`` is
            LoopWM's and bounds the state (:mod:`vpo.looped.world.bound`), as ``"gate"`` does; the others do not.
        retention_init: Share of the state that one loop keeps before training, in (0, 1).
        mean_loops: Mean of the random depth in training; the fixed depth otherwise if there is no ``depth_policy``.
        max_loops: Most loops in training.
        depth_policy: Who decides the number of loops outside training: a policy of :mod:`vpo.looped.depth`, or its
            dict. By default always ``mean_loops``.
        initializer_range: Standard deviation of the initial weights, times the square root of their inputs.

    Raises:
        ValueError: A setting is out of its range, or two of them contradict each other.
    """

    model_type = "vpo_looped_world"
    auto_map: ClassVar[dict[str, str]] = {}

    observation_shape: Any = (1,)
    observation_kind: Literal["real", "binary"] = "real"
    num_actions: int | None = None
    action_size: int | None = None
    num_rewards: int = 1
    hidden_size: int = 64
    inner_size: int | None = None
    prelude_layers: int = 1
    core_layers: int = 1
    coda_layers: int = 0
    injection: Literal["gate", "diagonal", "concat", "add", "none"] = "diagonal"
    retention_init: float = 0.5
    mean_loops: int = 4
    max_loops: int = 8
    depth_policy: Any = None  # a dict; a policy object becomes one
    initializer_range: float = 1.0
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Resolve defaults and check."""
        self.observation_shape = tuple(self.observation_shape)  # JSON knows lists alone
        if self.num_actions is None and self.action_size is None:
            self.num_actions = 2
        self.inner_size = 2 * self.hidden_size if self.inner_size is None else self.inner_size
        if self.depth_policy is not None:
            policy = as_policy(self.depth_policy)
            if not is_saved(policy):
                raise ValueError(
                    f"depth_policy is {policy}: a model cannot be saved with it. Pass it to a call instead."
                )
            self.depth_policy = to_dict(policy)
        self._check()
        super().__post_init__(**kwargs)

    def _check(self) -> None:
        shape = self.observation_shape
        if len(shape) not in (1, 3) or any(not isinstance(n, int) or n < 1 for n in shape):
            raise ValueError(
                f"observation_shape is {shape}: expected (D,) for a vector or (D, rows, columns) for a grid."
            )
        if self.observation_kind not in ("real", "binary"):
            raise ValueError(f"observation_kind is {self.observation_kind!r}: expected 'real' or 'binary'.")
        if (self.num_actions is None) == (self.action_size is None):
            raise ValueError(
                f"num_actions is {self.num_actions} and action_size {self.action_size}: expected one of the two, the "
                "number of numbered actions or the length of an action that is a vector."
            )
        if self.injection not in INJECTIONS:
            raise ValueError(f"injection is {self.injection!r}: expected one of {', '.join(INJECTIONS)}.")
        if not 0.0 < self.retention_init < 1.0:
            raise ValueError(f"retention_init is {self.retention_init}: expected a share strictly between 0 and 1.")
        least = {
            "num_rewards": 1, "hidden_size": 1, "inner_size": 1, "core_layers": 1, "prelude_layers": 0,
            "coda_layers": 0, "mean_loops": 1, "max_loops": self.mean_loops,
        }  # fmt: skip
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}: expected {low} or more.")

    @property
    def num_cells(self) -> int:
        """C, cells of the state: one for a vector, ``rows * columns`` for a grid."""
        return math.prod(self.observation_shape[1:])

    @property
    def grad_loops(self) -> int:
        """Loops through which training backpropagates: the last ``ceil(mean_loops / 2)`` (LoopWM, 2606.18208)."""
        return math.ceil(self.mean_loops / 2)

    @property
    def training_depth(self) -> RandomDepth:
        """A Poisson depth for each sequence and environment step, with a truncated gradient."""
        return RandomDepth(1, self.max_loops, "poisson", float(self.mean_loops), self.grad_loops)
