"""The loop as a function of the state: ``f(z) = scale(core(inject(z, e)))``, one pass at full depth.

No token stops and nothing is frozen, so the map is the same at every loop: what its Jacobian, its fixed points and its
trajectories say holds for the model, whichever depth policy stops the tokens. The passes are those of
:class:`vpo.looped.loop.Loop`; nothing of it is written a second time.

Two things that the map is not. The *first* pass of a model starts from ``u = e`` itself and not from ``inject(e, e)``,
so it is ``first`` here. And a model with ``cache_planes=M`` stops refreshing keys and values at loop M: its later loops
are another map, which :meth:`LoopMap.trajectory` follows and ``f`` does not.

Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vpo.looped.active import Active
from vpo.looped.backbone import LoopedModel
from vpo.looped.depth import FixedDepth
from vpo.looped.lockstep import Lockstep
from vpo.looped.loop import Loop
from vpo.looped.pretrained import looped_policy


class LoopMap:
    """One pass of the core over fixed sequences; :func:`loop_map` makes it.

    Deterministic only if the model is: put a model with dropout, or with spectral normalisation, in ``eval`` mode.
    Autocast is switched off within. The model must keep its parameters whole on every process (one process, or DDP).

    Args:
        backbone: The looped backbone.
        input_ids: (B, T).
        attention_mask: (B, T), 1 for real tokens, or None.
        dtype: Type that everything is computed in, fp32 or fp64.
    """

    def __init__(
        self, backbone: LoopedModel, input_ids: Tensor, attention_mask: Tensor | None, dtype: torch.dtype
    ) -> None:
        self.backbone = backbone
        self._host = _Host(backbone)
        self._tensors = _cast(self._host, backbone, dtype)
        embeds = backbone.embed_tokens(input_ids).to(dtype)
        self._device = embeds.device
        self._loop: Loop = self._within(self._begin, embeds, attention_mask)
        self.mask: Tensor = self._loop.real
        self.signal: Tensor = self._loop.signal
        self.z0: Tensor = self._loop.state
        self.first: Tensor = self._within(self._loop.run, self._lockstep)  # also notes its size, for scale control

    def __call__(self, state: Tensor) -> Tensor:
        """f(z): (B, T, H) -> (B, T, H), differentiable in the state, and in the parameters if ``f`` was made so."""
        return self._within(self._copy().core_output, 1, Active(), state)

    def core(self, entering: Tensor) -> Tensor:
        """The core alone, (B, T, H) -> (B, T, H): without the injection, and scaled like a first pass."""
        return self._within(self._copy().core_output, 0, Active(), entering)

    def trajectory(self, loops: int) -> list[Tensor]:
        """``[z_0, z_1, ..., z_loops]``, each (B, T, H): the states that the model goes through.

        ``z_0`` is the signal and ``z_1`` the output of the first pass.
        """
        states: list[Tensor] = [self.z0]
        self._within(self._make(loops).run, self._lockstep, states)
        return states

    @property
    def _lockstep(self) -> Lockstep:
        return Lockstep(False, self.signal.device)

    def _copy(self) -> Loop:
        return copy.copy(self._loop)  # a pass notes what it did on its loop; on a copy, f has no side effects

    def _make(self, loops: int) -> Loop:
        begun = self._loop
        return Loop(begun.parts, self.signal, self.mask, FixedDepth(loops), None, begun.inputs)

    def _within(self, function: Callable[..., Any], *args: Any) -> Any:
        with torch.autocast(self._device.type, enabled=False):  # differences of half-precision passes are noise
            return torch.func.functional_call(self._host, self._tensors, (function, *args))

    def _begin(self, embeds: Tensor, attention_mask: Tensor | None) -> Loop:
        policy = FixedDepth(1)
        return self.backbone.begin(None, attention_mask, inputs_embeds=embeds, use_cache=False, policy=policy)[0]


def loop_map(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None = None, dtype: torch.dtype | None = None
) -> LoopMap:
    """The loop of ``model`` over ``input_ids`` as a function of the state.

    Made with gradients enabled, the map reaches the model's parameters; made under ``torch.no_grad()`` it does not, and
    its products with the Jacobian keep no graph of them.

    Args:
        model: A looped model, its backbone, or either wrapped by PEFT.
        input_ids: (B, T) tokens.
        attention_mask: (B, T), 1 for real tokens; None if all are.
        dtype: ``torch.float32`` or ``torch.float64``; parameters of other types are converted once. By default fp64
            for an fp64 model, else fp32, as in the loop. The norms of transformers' layers compute in fp32 at any type.

    Raises:
        ValueError: Not a looped model, another type, or an attention kernel that computes in half precision only.
    """
    base = looped_policy(model)
    backbone = getattr(base, "model", base)
    if not isinstance(backbone, LoopedModel):
        raise ValueError(f"{type(model).__name__} is not a looped model: expected a LoopedForCausalLM or LoopedModel.")
    if dtype is None:
        dtype = torch.float64 if backbone.embed_tokens.weight.dtype == torch.float64 else torch.float32
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype is {dtype}: expected torch.float32 or torch.float64; less cannot tell a small change.")
    attention = backbone.config.layer_config._attn_implementation
    if "flash" in attention:
        raise ValueError(
            f"attention is {attention!r}, which computes in half precision only: call "
            "model.set_attn_implementation('sdpa') while the loop is studied."
        )
    return LoopMap(backbone, input_ids, attention_mask, dtype)


def iterate(f: Callable[[Tensor], Tensor], start: Tensor, loops: int) -> list[Tensor]:
    """``[z, f(z), f(f(z)), ...]``, ``loops + 1`` states."""
    states = [start]
    for _ in range(loops):
        states.append(f(states[-1]))
    return states


class _Host(nn.Module):
    """Runs a function while ``functional_call`` has other tensors in the place of the backbone's parameters."""

    def __init__(self, backbone: LoopedModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


def _cast(host: _Host, backbone: LoopedModel, dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of prelude, loop and positions that must be replaced: of another type, or to be cut off the graph."""
    config = backbone.config
    count = config.prelude_layers + config.core_layers
    used = (*(f"backbone.layers.{i}." for i in range(count)), "backbone.injection.", "backbone.scale.")
    found = {}
    for name, tensor in (*host.named_parameters(), *host.named_buffers()):
        if name.startswith(used) and tensor.is_floating_point():
            kept = tensor if torch.is_grad_enabled() else tensor.detach()
            if kept.dtype != dtype or kept is not tensor:
                found[name] = kept.to(dtype)
    return found
