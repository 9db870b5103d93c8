"""Losses that keep the loop stable, for training.

Weak to strong: :func:`scale_penalty` bounds the state's size, :func:`jacobian_penalty` the stretch of one loop on
average over directions; :mod:`vpo.looped.stability.spectral` bounds that of every linear layer by construction. Keep
weights small and warm them up: a loop that contracts too much does nothing. A directional factor of 0.7 to 0.95 after
the second loop is the aim.

Shape letters: B sequences, T tokens, H width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vpo.looped.scale import rms
from vpo.looped.stability.derivative import Map, central_difference, math_attention, restrict


def jacobian_penalty(
    f: Map,
    point: Tensor,
    *,
    mask: Tensor | None = None,
    probes: int = 1,
    method: Literal["differences", "exact"] = "differences",
    eps: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean squared singular value of ``J = df/dz``: ``E |J v|^2 / d`` over random signs v, d entries (Hutchinson).

    An unbiased estimate of ``|J|_F^2 / d``, cross-token terms included. 1 for the identity; it bounds the mean stretch,
    not the largest.

    Args:
        f: The map, with gradients to what is trained; for a model, ``loop_map(model, ids, mask)``.
        point: Where; the gradient does not flow into it, so that the map is trained and not its argument.
        mask: (B, T) bool, tokens that vary and count (leave padding out); None for all.
        probes: Random directions averaged over.
        method: ``"differences"``: central differences, two passes of the map a probe, an error of the order of
            ``eps**2``, any attention kernel. ``"exact"``: ``|J^T v|^2``, whose mean is the same, by one pass and a
            double backward; more memory, and attention on the math kernel.
        eps: Relative step of the differences.
        generator: On the CPU; by default PyTorch's global one, so that each step draws anew.

    Returns:
        A scalar, 0 or more.

    Raises:
        ValueError: ``probes`` is below 1, the method is not known, or the mask leaves no token.
    """
    if probes < 1:
        raise ValueError(f"probes is {probes}: expected 1 or more.")
    if method not in ("differences", "exact"):
        raise ValueError(f"method is {method!r}: expected 'differences' or 'exact'.")
    f, point = restrict(f, point.detach(), mask)
    if point.numel() == 0:
        raise ValueError("no token is left to vary: expected a mask with a real token.")
    total = point.new_zeros(())
    for _ in range(probes):
        signs = torch.randint(0, 2, point.shape, generator=generator).to(point) * 2 - 1
        if method == "differences":
            stretched = central_difference(f, point, signs, eps)
        else:
            leaf = point.clone().requires_grad_()
            with math_attention():
                (stretched,) = torch.autograd.grad(f(leaf), leaf, signs, create_graph=True, materialize_grads=True)
        total = total + stretched.square().mean()
    return total / probes


def scale_penalty(states: Sequence[Tensor], mask: Tensor | None = None, allowed: float = 1.0) -> Tensor:
    """Growth of the state's size beyond ``allowed`` times that of the first: mean of ``log(|z_t| / allowed |z_1|)^2``.

    A readout through a norm does not see the scale, so nothing else keeps it (2606.24898). One-sided: shrinking is
    free. No gradient flows into ``|z_1|``, or it would be inflated instead.

    Args:
        states: ``z_1 .. z_L``, each (B, T, H), at least two: not ``z_0``, the signal, whose size is another.
        mask: (B, T) bool, tokens that count.
        allowed: Factor that costs nothing.

    Returns:
        A scalar, 0 or more.

    Raises:
        ValueError: Fewer than two states, or ``allowed`` is not above 0.
    """
    if len(states) < 2:
        raise ValueError(f"{len(states)} states: expected two or more, z_1 first.")
    if not allowed > 0:
        raise ValueError(f"allowed is {allowed}: expected a factor above 0.")
    sizes = torch.stack([rms(state).squeeze(-1) for state in states])  # (L, B, T)
    if mask is not None:
        sizes = sizes[:, mask.bool()]
    tiny = torch.finfo(sizes.dtype).tiny
    growth = sizes[1:].clamp(min=tiny).log() - (allowed * sizes[:1].detach()).clamp(min=tiny).log()
    return growth.relu().square().mean()
