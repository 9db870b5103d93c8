"""What the states of a trajectory say of the loop, token by token: does it settle, overshoot, or drift?

``d_t = z_t - z_(t-1)`` for loops t = 1..L. Sizes are root mean squares over channels, as in the halting residual. What
is undefined is NaN, never 0: padding, the direction of a step lost in rounding, what needs a loop before the first.

Landmarks, for a constant factor ``l`` per loop: a contraction (0 < l < 1) has cosine 1 and contraction l; an overshoot
(l < 0) cosine -1; a period of two, contraction 1 and ``period2`` 0; a drift ``z + v``, cosine 1, contraction 1, a
norm that grows, and a residual that falls like 1/t although nothing settles.

Shape letters: L loops, B sequences, T tokens, H width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vpo.looped.scale import rms


@dataclass(frozen=True)
class Dynamics:
    """Numbers of each loop and token, all (L, B, T), NaN where undefined.

    Args:
        step_size: ``|d_t|``.
        residual: ``|d_t| / |z_t|``; of the undamped map, so the fixed-point residual of ``z_(t-1)``.
        scale_free_residual: The same of ``z / |z|``: what a readout through a norm can see of the change.
        norm_growth: ``|z_t| / |z_1|``.
        cosine: ``cos(d_t, d_(t-1))``: below 0 overshoot, about 0 orthogonal refinement, about 1 a straight line.
        period2: ``|z_t - z_(t-2)| / |d_t|``: 0 on a period of two, 2 on a straight line.
        contraction: ``|d_t| / |d_(t-1)|``, the stretch along the way that the state took.
        acceleration: ``|d_t - d_(t-1)|``.
        finite: 1 if ``z_t`` is finite, else 0, and the token's other numbers are NaN.
    """

    step_size: Tensor
    residual: Tensor
    scale_free_residual: Tensor
    norm_growth: Tensor
    cosine: Tensor
    period2: Tensor
    contraction: Tensor
    acceleration: Tensor
    finite: Tensor

    @staticmethod
    def join(parts: Sequence[Dynamics]) -> Dynamics:
        """Those of several batches as one, (L, 1, N), N the tokens of all."""
        flat = [[getattr(part, field.name).flatten(1) for part in parts] for field in fields(Dynamics)]
        return Dynamics(*(torch.cat(each, dim=1).unsqueeze(1) for each in flat))

    def per_loop(self) -> dict[str, list[float]]:
        """Each number's mean over the tokens where it is defined, one value a loop; NaN if there is none.

        And two shares of these tokens: ``oscillating``, with a cosine below -0.1; ``rising``, with a larger residual
        than in the loop before.
        """
        values = {field.name: _means(getattr(self, field.name)) for field in fields(self)}
        known = ~self.cosine.isnan()
        values["oscillating"] = _means(torch.where(known, (self.cosine < _OPPOSED).double(), torch.nan))
        before = torch.full_like(self.residual, torch.nan)
        before[1:] = self.residual[:-1]
        known = ~(before.isnan() | self.residual.isnan())
        values["rising"] = _means(torch.where(known, (self.residual > before).double(), torch.nan))
        return values

    def mean_contraction(self, skip: int = 1) -> float:
        """Geometric mean of ``contraction`` over tokens and loops; its logarithm is the finite-time Lyapunov exponent.

        Below 1 states settle along their way. NaN if no two steps are left to compare.

        Args:
            skip: First steps left out; a model's first one is not made by the loop's map but by the first pass.
        """
        ratios = self.contraction[skip + 1 :]
        return ratios[~ratios.isnan()].double().log().mean().exp().item()


#: A cosine below this counts as overshoot; that of two random directions of 100 channels or more is within +-0.1.
_OPPOSED = -0.1


def dynamics(states: Sequence[Tensor], mask: Tensor | None = None) -> Dynamics:
    """Diagnose a trajectory.

    Args:
        states: ``z_0 .. z_L``, each (B, T, H), L at least 1.
        mask: (B, T) bool, tokens to look at; None for all.

    Raises:
        ValueError: Fewer than two states, or shapes that do not fit.
    """
    if len(states) < 2 or any(state.shape != states[0].shape for state in states) or states[0].ndim != 3:
        shapes = [tuple(state.shape) for state in states]
        raise ValueError(f"states have shapes {shapes}: expected two or more of one shape (B, T, H), z_0 first.")
    if mask is not None and mask.shape != states[0].shape[:2]:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: expected {tuple(states[0].shape[:2])}, one a token.")
    z = torch.stack([_wide(state) for state in states])
    d, size = z[1:] - z[:-1], rms(z)
    step = _size(d)
    lost = torch.full_like(step[:1], torch.nan)
    # A step that is all rounding has neither a direction nor a ratio to the next.
    steps = torch.where(step > 8 * torch.finfo(z.dtype).eps * size[1:].squeeze(-1), step, torch.nan)
    cosine = (d[1:] * d[:-1]).mean(-1) / (steps[1:] * steps[:-1])
    kept = torch.ones_like(step, dtype=torch.bool) if mask is None else mask.bool().expand(step.shape)

    is_finite = size[1:].squeeze(-1).isfinite()

    def of(values: Tensor) -> Tensor:
        full = values if len(values) == len(step) else torch.cat([lost, values])
        return torch.where(kept & is_finite, full, torch.nan)

    unit = z / size
    return Dynamics(
        step_size=of(step),
        residual=of(step / size[1:].squeeze(-1)),
        scale_free_residual=of(_size(unit[1:] - unit[:-1])),
        norm_growth=of((size[1:] / size[1]).squeeze(-1)),
        cosine=of(cosine.clamp(-1, 1)),
        period2=of(_size(z[2:] - z[:-2]) / steps[1:]),
        contraction=of(steps[1:] / steps[:-1]),
        acceleration=of(_size(d[1:] - d[:-1])),
        finite=torch.where(kept, is_finite.to(step.dtype), torch.nan),
    )


def fresh_start_distance(
    f: Callable[[Tensor], Tensor], first: Tensor, second: Tensor, loops: int, mask: Tensor | None = None
) -> Tensor:
    """Test of path independence: how far apart two starts are after each loop.

    Where the loop has one fixed point they meet; a distance that stays is a memory of the start.

    Args:
        f: (B, T, H) -> (B, T, H).
        first: (B, T, H) start.
        second: (B, T, H) other start.
        loops: L.
        mask: (B, T) bool, tokens to look at.

    Returns:
        (L + 1, B, T) size of the difference relative to the first's state, NaN at padding; the starts' own comes first.
    """
    distances = []
    for loop in range(loops + 1):
        if loop:
            first, second = f(first), f(second)
        distance = _size(_wide(second) - _wide(first)) / _size(_wide(first))
        distances.append(distance if mask is None else torch.where(mask.bool(), distance, torch.nan))
    return torch.stack(distances)


def _wide(state: Tensor) -> Tensor:
    return state if state.dtype == torch.float64 else state.float()


def _size(vectors: Tensor) -> Tensor:
    return rms(vectors).squeeze(-1)


def _means(values: Tensor) -> list[float]:
    return values.flatten(1).double().nanmean(1).tolist()
