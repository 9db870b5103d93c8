"""The Jacobian of a model's loop at one state, in plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vpo.looped.stability.jacobian import Estimate, Radius, spectral_norm, spectral_radius, stable_step_size
from vpo.looped.stability.loop_map import LoopMap
from vpo.looped.stability.token_radius import token_spectrum


@dataclass(frozen=True)
class LocalStability:
    """The Jacobian at the state after one loop, that is, the stretch of the next loop.

    Args:
        loop: t of the state z_t.
        norm: Spectral norm, tokens jointly.
        radius: Spectral radius, tokens jointly; the largest of several sequences.
        token_radius: Largest radius of a token's own block, of the tokens looked at.
        token_radius_mean: Their mean.
        token_radius_change: Largest relative change of one by the last Krylov dimension.
        step_size: Largest damping under which the state would attract, by the tokens' spectra; 0 if none would.
    """

    loop: int
    norm: Estimate
    radius: Radius
    token_radius: float
    token_radius_mean: float
    token_radius_change: float
    step_size: float


def local_stability(step: LoopMap, state: Tensor, loop: int, positions: int = 8, **options: Any) -> LocalStability:
    """Study the loop at ``state`` (B, T, H), which the model is in after ``loop`` loops.

    Args:
        step: The loop.
        state: Where.
        loop: Recorded only.
        positions: Tokens whose own spectrum is computed: evenly spaced, first and last included, and the first real one
            of each sequence besides, which attends to nothing but itself and often behaves like no other.
        **options: ``derivative`` and ``eps``, as for :func:`~vpo.looped.stability.jacobian.spectral_norm`.
    """
    mask, length = step.mask, state.shape[1]
    spaced = torch.linspace(0, length - 1, min(positions, length)).round().long()
    chosen = torch.cat([spaced.to(mask.device), mask.int().argmax(1)]).unique()
    tokens = token_spectrum(step, state, chosen, **options)
    real = mask[:, chosen].T.flatten().cpu()  # (K * B,), as the spectrum is ordered
    radius, change = tokens.radius[real], tokens.change[real]
    return LocalStability(
        loop=loop,
        norm=spectral_norm(step, state, mask=step.mask, **options),
        radius=spectral_radius(step, state, mask=step.mask, **options),
        token_radius=float(radius.max()) if len(radius) else float("nan"),
        token_radius_mean=float(radius.mean()),
        token_radius_change=float(change.max()) if len(change) else float("nan"),
        step_size=stable_step_size(tokens.eigenvalues[real]) if len(radius) else float("nan"),
    )
