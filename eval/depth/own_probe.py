"""The depth report's probe of our own looped models. Depths are those that the policy really decides.

A stopping rule is *run*, not read off the full-depth trajectory: a token that stops freezes its keys and values, and
what later tokens compute depends on it.

Shape letters: R loops, B sequences, T tokens, H width, N tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from eval.depth.attention import recorded_attention
from eval.depth.probe import Exits, Map, Trajectory
from vpo.looped import FixedDepth, FixedPoint, HaltReason, LoopedForCausalLM
from vpo.looped.depth import RandomDepth, to_dict
from vpo.looped.lockstep import Lockstep
from vpo.looped.pretrained import looped_policy
from vpo.looped.scale import rms
from vpo.looped.stability import LoopMap, loop_map
from vpo.looped.views import run


class LoopedProbe:
    """Probe of a :class:`~vpo.looped.LoopedForCausalLM`, bare or wrapped by PEFT; in ``eval`` mode from now on.

    Args:
        model: The model.
        trained_loops: Deepest loop of its training; the cap of its own depth policy by default.

    Raises:
        ValueError: Not a looped model with a head.
    """

    kind = "vpo"

    def __init__(self, model: Any, trained_loops: int | None = None) -> None:
        base: Any = looped_policy(model)
        if not isinstance(base, LoopedForCausalLM):
            raise ValueError(
                f"{type(model).__name__} is no looped language model: expected a LoopedForCausalLM. Convert one first "
                "(vpo convert), or adapt yours (eval.depth.AdaptedProbe)."
            )
        self.model = base.eval()
        self.trained_loops = base.depth_policy.cap if trained_loops is None else trained_loops
        self.own_rule = str(base.depth_policy)
        self.is_adaptive = not isinstance(base.depth_policy, (FixedDepth, RandomDepth))
        planes = base.config.cache_planes
        self.notes = (
            ()
            if planes is None
            else (f"Keys and values stop refreshing at loop {planes} (cache_planes), so later loops are another map.",)
        )

    @torch.no_grad()
    def trajectory(self, ids: Tensor, mask: Tensor, loops: int) -> Trajectory:
        """As :meth:`eval.depth.DepthProbe.trajectory`."""
        backbone = self.model.model
        loop, inputs = backbone.begin(ids, mask.long(), use_cache=False, policy=FixedDepth(loops))
        states = [loop.state]
        loop.run(Lockstep(False, ids.device), states)
        config = backbone.config
        coda = list(backbone.layers)[config.prelude_layers + config.core_layers :]
        dtype = loop.signal.dtype
        outputs = [backbone.norm(run(coda, each.to(dtype), None, inputs.keywords())) for each in states[1:]]
        return Trajectory(states, outputs)

    @torch.no_grad()
    def logits(self, outputs: Tensor) -> Tensor:
        """As :meth:`eval.depth.DepthProbe.logits`."""
        made: Tensor = self.model.lm_head(outputs)
        return made if made.dtype == torch.float64 else made.float()

    @torch.no_grad()
    def exits(self, ids: Tensor, mask: Tensor, trajectory: Trajectory, tol: float | None, cap: int) -> Exits:
        """As :meth:`eval.depth.DepthProbe.exits`; a tolerance is one of ``FixedPoint``, set as in the model's own."""
        if tol is None:
            policy = self.model.depth_policy
            if isinstance(policy, FixedDepth) and policy.cap <= len(trajectory.outputs):
                depths = torch.where(mask, policy.cap, 1)
                return Exits(depths, torch.zeros_like(mask), trajectory.outputs[policy.cap - 1])
        else:
            policy = self._halting(tol, cap)
        head = self.model.lm_head  # for policies that look at the output
        made = self.model.model(ids, mask.long(), use_cache=False, depth_policy=policy, head=head)
        return Exits(made.loop_depths, made.loop_reasons == HaltReason.CAP, made.last_hidden_state)

    def loop(self, ids: Tensor, mask: Tensor) -> Map:
        """As :meth:`eval.depth.DepthProbe.loop`."""
        with torch.no_grad():  # so that no graph reaches the parameters
            made: LoopMap = loop_map(self.model, ids, mask.long())
        return made

    def fresh_start(self, trajectory: Trajectory, seed: int) -> Tensor:
        """Normal numbers, of the size of the first loop's output token by token."""
        first = trajectory.states[1]
        drawn = torch.randn(first.shape, generator=torch.Generator().manual_seed(seed)).to(first)
        return drawn * rms(first)

    @torch.no_grad()
    def attention(self, ids: Tensor, mask: Tensor, loops: int) -> Tensor | None:
        """As :meth:`eval.depth.DepthProbe.attention`, by transformers' eager attention for this one pass."""
        backbone = self.model.model
        layers = backbone.config.layer_config
        before, modules = layers._attn_implementation, [layer.self_attn for layer in backbone.core]
        layers._attn_implementation = "eager"  # set_attn_implementation warns of the nested configuration, each time
        try:
            with recorded_attention(modules) as weights:
                backbone(ids, mask.long(), use_cache=False, num_loops=loops)
        finally:
            layers._attn_implementation = before
        if len(weights) != loops * len(modules):
            return None
        return torch.stack(weights).unflatten(0, (loops, len(modules)))

    def settings(self, change: str, **values: Any) -> dict[str, Any]:
        """As :meth:`eval.depth.DepthProbe.settings`: fields of :class:`~vpo.looped.LoopedConfig` and of policies."""
        if change == "cap":
            is_halting = isinstance(self.model.depth_policy, FixedPoint)
            policy = self._halting(None, values["cap"]) if is_halting else FixedDepth(values["cap"])
            return {"depth_policy": to_dict(policy)}
        if change in ("halt", "damp"):
            halting = self._halting(values.get("tol"), values["cap"])
            size = min(halting.step_size, values.get("step_size", 1.0))
            floor = halting.floor if halting.floor < size else size / 2
            return {"depth_policy": to_dict(replace(halting, step_size=size, floor=floor))}
        if change == "scale":
            return {"scale_control": "norm" if self.model.config.scale_control == "match" else "match"}
        return {"training depth_policy": to_dict(RandomDepth(1, values["high"]))} if change == "train" else {}

    def _halting(self, tol: float | None, cap: int) -> FixedPoint:
        own = self.model.depth_policy
        policy = own if isinstance(own, FixedPoint) else FixedPoint()
        return replace(policy, tol=policy.tol if tol is None else tol, cap=cap, min_loops=min(policy.min_loops, cap))
