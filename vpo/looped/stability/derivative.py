"""Products with the Jacobian ``J = df/dz`` of a map at one point, without ever forming it.

``J^T w`` is the ordinary backward pass. It is linear in ``w``, and its own derivative by ``w`` is ``J``: so ``J v`` is
a second backward pass through the recorded first one, exact, and for models of this kind several times as fast as
forward mode, which PyTorch takes apart in Python. Central differences serve where an operation has no second
derivative. Attention runs on PyTorch's math kernel meanwhile, as the fused ones have none.

Works on any ``f: Tensor -> Tensor`` that keeps the shape. Shape letter: K directions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Map = Callable[[Tensor], Tensor]
Derivative = Literal["auto", "exact", "differences"]


class Linearisation:
    """``f`` near ``point``; keeps the graph of one pass, and of one backward pass if products are exact.

    Args:
        f: The map.
        point: Where, of any shape; in fp32 or fp64.
        derivative: ``"exact"``, ``"differences"``, or ``"auto"``: exact, and differences if that fails. Afterwards the
            attribute says which it has come to be.
        eps: Of the differences, as in :func:`central_difference`.

    Raises:
        ValueError: ``derivative`` is none of these, or the map changes the shape, has no gradient or is not finite.
    """

    def __init__(self, f: Map, point: Tensor, derivative: Derivative = "auto", eps: float = 1e-3) -> None:
        if derivative not in ("auto", "exact", "differences"):
            raise ValueError(f"derivative is {derivative!r}: expected 'auto', 'exact' or 'differences'.")
        self.f, self.point, self.derivative, self.eps = f, point.detach(), derivative, eps
        with torch.enable_grad(), math_attention():
            self._input = self.point.clone().requires_grad_()
            self._output = f(self._input)
        if self._output.shape != point.shape:
            raise ValueError(
                f"f maps {tuple(point.shape)} to {tuple(self._output.shape)}: expected a map of a space into itself."
            )
        if not self._output.requires_grad:
            raise ValueError("f's value has no gradient to its argument: f must use it, with gradients left on.")
        if not bool(self._output.isfinite().all()):
            raise ValueError("f is not finite at this point: expected a state that has not diverged, an earlier one.")
        self._backward: tuple[Tensor, Tensor] | None = None  # w and J^T w

    def times(self, directions: Tensor) -> Tensor:
        """``J v`` for each ``v`` of ``directions`` (K, *shape of the point)."""
        if self.derivative != "differences":
            try:
                made = self._times(directions)
                self.derivative = "exact"
                return made
            except (NotImplementedError, RuntimeError) as error:
                if self.derivative == "exact" or isinstance(error, torch.OutOfMemoryError):
                    raise
                self.derivative = "differences"
        with torch.no_grad(), math_attention():
            return torch.stack([central_difference(self.f, self.point, v, self.eps) for v in directions])

    def transposed(self, covector: Tensor) -> Tensor:
        """``J^T w`` for one ``w`` of the point's shape."""
        with math_attention():  # a checkpointed pass is run again here
            return torch.autograd.grad(self._output, self._input, covector, retain_graph=True, materialize_grads=True)[
                0
            ]

    def _times(self, directions: Tensor) -> Tensor:
        with torch.enable_grad(), math_attention():
            if self._backward is None:
                generator = torch.Generator().manual_seed(0)
                covector = torch.randn(self.point.shape, generator=generator).to(self.point).requires_grad_()
                made = torch.autograd.grad(
                    self._output, self._input, covector, create_graph=True, materialize_grads=True
                )
                self._backward = covector, made[0]
                self._check(torch.randn(2, *self.point.shape, generator=generator).to(self.point))
            covector, image = self._backward
            options = {"retain_graph": True, "materialize_grads": True}
            if len(directions) == 1:
                return torch.autograd.grad(image, covector, directions[0], **options)[0].unsqueeze(0)
            return torch.autograd.grad(image, covector, directions, is_grads_batched=True, **options)[0]

    def _check(self, directions: Tensor) -> None:
        """Compare ``<J v, w>`` with ``<v, J^T w>``.

        To PyTorch, an operation whose backward pass is a kernel of its own looks like a constant the second time, so
        that its share in ``J v`` would be missing without a word.
        """
        assert self._backward is not None
        covector, image = (each.detach() for each in self._backward)
        off = ((self._times(directions) * covector) - directions * image).flatten(1).sum(1).abs()
        if bool((off > 1e-2 * image.norm()).any()):
            self._backward = None
            raise RuntimeError("an operation of f has no second derivative: use derivative='differences'.")


def central_difference(f: Map, point: Tensor, direction: Tensor, eps: float = 1e-3) -> Tensor:
    """``(f(z + h v) - f(z - h v)) / 2h``, of the point's shape; differentiable in whatever ``f`` depends on.

    Args:
        f: The map.
        point: z.
        direction: v.
        eps: Size of the step ``h v`` relative to the point's, both as root mean squares; absolute at the origin. In
            fp32, 1e-3 balances rounding (1e-7 / eps) and curvature (eps^2).
    """
    size, length = point.detach().square().mean().sqrt(), direction.detach().square().mean().sqrt()
    if float(length) == 0.0:
        return torch.zeros_like(point)
    step = eps * torch.where(size > 0, size, torch.ones_like(size)) / length
    return (f(point + step * direction) - f(point - step * direction)) / (2 * step)


def restrict(f: Map, point: Tensor, mask: Tensor | None) -> tuple[Map, Tensor]:
    """The map on the tokens in ``mask`` alone, the others held where they are.

    Args:
        f: (B, T, H) -> (B, T, H).
        point: (B, T, H).
        mask: (B, T) bool; None for all.

    Returns:
        The map (N, H) -> (N, H) of the N tokens, and their (N, H) part of the point; both as given if there is no mask.
    """
    if mask is None or bool(mask.all()):
        return f, point
    where = mask.nonzero(as_tuple=True)
    held = point.detach()
    return lambda part: f(held.index_put(where, part))[where], point[where]


def math_attention() -> AbstractContextManager[None]:
    """Attention on the one kernel that has a forward mode and a second derivative."""
    return sdpa_kernel(SDPBackend.MATH)
