"""The looped world model: predicts the next observation, the reward vector and whether the sequence goes on.

LoopWM, "Looped World Models" (arXiv 2606.18208): an encoder, an action embedding, a looped core, heads. Not included:
their deferred decoding, and a learnable mean of the training depth.

Shape letters: B sequences, T environment steps, C cells, D numbers of an observation, H width, d rewards, R loops; O
stands for the shape of an observation, (D,) or (D, rows, columns).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from vpo.looped.depth import DepthPolicy, FixedDepth, as_policy, from_dict, is_saved, to_dict
from vpo.looped.halt_gate import HaltGate
from vpo.looped.injection import Injection
from vpo.looped.world.config import WorldModelConfig
from vpo.looped.world.core import LoopedCore
from vpo.looped.world.heads import COPY, ActionEmbedding, Heads, ObservationEncoder
from vpo.looped.world.outputs import WorldModelOutput
from vpo.looped.world.transitions import Transitions


class LoopedWorldModel(PreTrainedModel):
    """A world model whose core runs as often as a step needs.

    ``from_pretrained`` and ``save_pretrained`` are those of transformers; the statistics that standardise the data
    (:meth:`standardise`) are saved with the weights.

    Args:
        config: Sizes, kinds and the depth policy.
    """

    config_class = WorldModelConfig
    base_model_prefix = "world"
    main_input_name = "observations"
    config: WorldModelConfig

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__(config)
        self.encoder = ObservationEncoder(config)
        self.action = ActionEmbedding(config)
        self.core = LoopedCore(config)
        self.heads = Heads(config)
        numbers, rewards = config.observation_shape[0], config.num_rewards
        for name, value in (("mean", torch.zeros), ("scale", torch.ones), ("change", torch.ones)):
            self.register_buffer(f"observation_{name}", value(numbers))
        self.register_buffer("reward_mean", torch.zeros(rewards))
        self.register_buffer("reward_scale", torch.ones(rewards))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Weights that keep the scale; blocks that start small; ``C`` the identity; gate and injection their own."""
        gain = self.config.initializer_range
        if isinstance(module, (Injection, HaltGate)):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=gain / math.sqrt(module.in_features))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=gain)
        elif isinstance(module, nn.Conv2d):  # each neighbour as loud as the cell itself, or it is hardly heard
            nn.init.normal_(module.weight, std=gain)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, ObservationEncoder) and module.position is not None:
            nn.init.normal_(module.position, std=0.5 * gain)
        elif isinstance(module, Heads):
            nn.init.normal_(module.observation.weight, std=0.1 / math.sqrt(module.observation.in_features))
            if module.copy is not None:
                nn.init.constant_(module.copy, COPY)
        elif isinstance(module, LoopedCore):
            nn.init.eye_(module.readout.weight)
            for block in (*module.prelude, *module.layers, *module.coda):
                nn.init.normal_(block.narrow.weight, std=0.3 * gain / math.sqrt(block.narrow.in_features))
        else:
            super()._init_weights(module)

    @property
    def depth_policy(self) -> DepthPolicy:
        """Who decides the number of loops when a call does not say; saved with the model.

        Raises:
            ValueError: On setting one that a model cannot be saved with.
        """
        saved = self.config.depth_policy
        return FixedDepth(self.config.mean_loops) if saved is None else from_dict(saved)

    @depth_policy.setter
    def depth_policy(self, policy: DepthPolicy) -> None:
        policy = as_policy(policy)
        if not is_saved(policy):
            raise ValueError(f"depth_policy is {policy}: a model cannot be saved with it. Pass it to a call instead.")
        self.config.depth_policy = to_dict(policy)

    @torch.no_grad()
    def standardise(self, data: Transitions) -> None:
        """Take means and standard deviations from the data to learn from; binary observations stay as they are."""
        real = data.mask
        if self.config.observation_kind == "real":
            numbers = self.config.observation_shape[0]
            before, after = data.observations[:, :-1][real], data.observations[:, 1:][real]
            seen, change = (
                each.reshape(len(each), numbers, -1).transpose(1, 2).flatten(0, 1) for each in (before, after - before)
            )
            self.observation_mean.copy_(seen.mean(0))
            self.observation_scale.copy_(_spread(seen))
            self.observation_change.copy_(_spread(change))
        self.reward_mean.copy_(data.rewards[real].mean(0))
        self.reward_scale.copy_(_spread(data.rewards[real]))

    def forward(
        self,
        observations: Tensor,
        actions: Tensor,
        rewards: Tensor | None = None,
        continues: Tensor | None = None,
        mask: Tensor | None = None,
        see: Tensor | None = None,
        state: Tensor | None = None,
        depth_policy: DepthPolicy | None = None,
        output_loop_losses: bool = False,
    ) -> WorldModelOutput:
        """Predict every step of sequences, and their loss if rewards and continuation are given.

        Args:
            observations: (B, T, O) before each step; (B, T + 1, O) with targets; fewer are enough where ``see`` is
                false: (B, 1, O) for a rollout.
            actions: (B, T), or (B, T, A).
            rewards: (B, T, d), targets.
            continues: (B, T), targets, 0 where the sequence ends with the step.
            mask: (B, T) bool, false at padding; all real by default.
            see: (B, T) bool, whether a step sees the observation or its own prediction of it; the first always sees.
                All see by default.
            state: (B, C, H) to go on from; 0 by default.
            depth_policy: Instead of the model's own.
            output_loop_losses: Also read the predictions off after each loop.

        Raises:
            ValueError: A shape does not fit.
        """
        batch, steps = actions.shape[:2]
        mask = torch.ones(actions.shape[:2], dtype=torch.bool, device=actions.device) if mask is None else mask.bool()
        self._check(observations, actions, mask, rewards, continues, see, output_loop_losses)
        policy = self.depth_policy if depth_policy is None else as_policy(depth_policy)
        if state is None:
            state = observations.new_zeros(batch, self.config.num_cells, self.config.hidden_size)
        pieces: list[dict[str, Any]] = []
        current = observations[:, 0]
        for t in range(steps):
            if t and see is None:
                current = observations[:, t]
            elif t and see is not None and bool(see[:, t].any()):
                shown = see[:, t].view(-1, *[1] * (observations.ndim - 2))
                current = torch.where(shown, observations[:, t], current)
            cells = self._cells(current)
            encoded = self.encoder((cells - self.observation_mean) / self.observation_scale)
            out = self.core(state, encoded, self.action(actions[:, t]), mask[:, t], policy, output_loop_losses)
            state = out.state
            raw = self.heads(out.output, cells)
            piece: dict[str, Any] = {
                "observations": self._observation(raw[0], cells),
                "rewards": self.reward_mean + self.reward_scale * raw[1],
                "continues": raw[2].sigmoid(),
                "depths": out.depth,
                "residuals": out.residual,
                "reasons": out.reason,
                "state_norms": state.detach().norm(dim=-1).amax(-1),
            }
            if rewards is not None and continues is not None:
                target = (self._cells(observations[:, t + 1]), rewards[:, t], continues[:, t], mask[:, t])
                piece["losses"] = self._loss(raw, cells, *target)
                if output_loop_losses:
                    each = [self.heads(self.core.read(after), cells) for after in out.states]
                    piece["loop_losses"] = torch.stack([self._loss(one, cells, *target) for one in each])
                    piece["gate_inputs"] = torch.stack([self.core.gate_input(after) for after in out.states])
            pieces.append(piece)
            current = piece["observations"]
        joined = {name: torch.stack([piece[name] for piece in pieces], dim=_TIME.get(name, 1)) for name in pieces[0]}
        loss = joined["losses"].sum() / mask.sum() if "losses" in joined else None
        return WorldModelOutput(loss=loss, state=state, **joined)

    @torch.no_grad()
    def rollout(
        self,
        observation: Tensor,
        actions: Tensor,
        state: Tensor | None = None,
        mask: Tensor | None = None,
        depth_policy: DepthPolicy | None = None,
    ) -> WorldModelOutput:
        """Predict what a sequence of actions leads to, from one observation, each step seeing the prediction before.

        To go on later, hand the last predicted observation and ``state`` to the next call.

        Args:
            observation: (B, O).
            actions: (B, T), or (B, T, A).
            state: (B, C, H) to go on from; 0 by default.
            mask: (B, T) bool, false at padding.
            depth_policy: Instead of the model's own.
        """
        see = torch.zeros(actions.shape[:2], dtype=torch.bool, device=actions.device)
        return self(observation.unsqueeze(1), actions, mask=mask, see=see, state=state, depth_policy=depth_policy)

    def _cells(self, observation: Tensor) -> Tensor:
        """(B, O) -> (B, C, D); bits are rounded, so that a prediction can be fed back as it is."""
        cells = observation.flatten(2).transpose(1, 2) if observation.ndim > 2 else observation.unsqueeze(1)
        return (cells > 0.5).to(cells) if self.config.observation_kind == "binary" else cells

    def _observation(self, raw: Tensor, cells: Tensor) -> Tensor:
        """What the heads say of an observation, (B, C, D) -> (B, O)."""
        binary = self.config.observation_kind == "binary"
        value = raw.sigmoid() if binary else cells + self.observation_change * raw
        shape = self.config.observation_shape
        return value.squeeze(1) if len(shape) == 1 else value.transpose(1, 2).unflatten(2, shape[1:])

    def _loss(
        self,
        raw: tuple[Tensor, Tensor, Tensor],
        cells: Tensor,
        target: Tensor,
        rewards: Tensor,
        continues: Tensor,
        real: Tensor,
    ) -> Tensor:
        """(B,) nats of one step: bits by cross-entropy, numbers by half the squared error in standard deviations."""
        if self.config.observation_kind == "binary":
            seen = F.binary_cross_entropy_with_logits(raw[0], target, reduction="none")
        else:
            seen = 0.5 * ((target - cells) / self.observation_change - raw[0]).square()
        paid = 0.5 * ((rewards - self.reward_mean) / self.reward_scale - raw[1]).square()
        goes_on = F.binary_cross_entropy_with_logits(raw[2], continues, reduction="none")
        return torch.where(real, seen.sum((1, 2)) + paid.sum(1) + goes_on, 0.0)

    def _check(
        self,
        observations: Tensor,
        actions: Tensor,
        mask: Tensor,
        rewards: Tensor | None,
        continues: Tensor | None,
        see: Tensor | None,
        by_loop: bool,
    ) -> None:
        shape, steps = self.config.observation_shape, actions.shape[1]
        if tuple(observations.shape[2:]) != shape or observations.shape[0] != actions.shape[0]:
            raise ValueError(
                f"observations have shape {tuple(observations.shape)}: expected (B, T, {', '.join(map(str, shape))}) "
                f"with B={actions.shape[0]} as in actions {tuple(actions.shape)}."
            )
        vectors, count = self.config.action_size is not None, self.config.num_actions or 0
        if actions.ndim != (3 if vectors else 2) or actions.is_floating_point() != vectors:
            raise ValueError(
                f"actions have shape {tuple(actions.shape)} and type {actions.dtype}: expected "
                + (f"(B, T, {self.config.action_size}) real numbers." if vectors else "(B, T) integers.")
            )
        if mask.shape != actions.shape[:2]:
            raise ValueError(f"mask has shape {tuple(mask.shape)}: expected {tuple(actions.shape[:2])}, as actions.")
        if (rewards is None) != (continues is None) or (by_loop and rewards is None):
            raise ValueError("a loss needs rewards and continues: expected both or neither, both for loop losses.")
        if not vectors and actions.numel() and not 0 <= int(actions.min()) <= int(actions.max()) < count:
            raise ValueError(
                f"actions are numbered {int(actions.min())} to {int(actions.max())}: expected 0 to "
                f"{count - 1}, also at padding."
            )
        is_rollout = see is not None and not bool(see[:, 1:].any())
        needed = steps + 1 if rewards is not None else 1 if is_rollout else steps
        if observations.shape[1] < needed:
            raise ValueError(
                f"there are {observations.shape[1]} observations for {steps} steps: expected {needed}. A loss needs "
                "the one after the last step; a rollout from the first alone is model.rollout(observation, actions)."
            )


_TIME = {"loop_losses": 2, "gate_inputs": 2}  # which dimension the steps are, where it is not the second


def _spread(values: Tensor) -> Tensor:
    """Standard deviations of (N, K); 1 where a number never changes."""
    spread = values.std(0, correction=0)
    return torch.where(spread > 1e-6, spread, 1.0)
