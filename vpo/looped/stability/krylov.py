"""Eigenvalues of a linear map from its action alone: Arnoldi's method, for many small maps at once.

A power iteration's Rayleigh quotient neither converges for a dominant complex pair nor tells its modulus, and that pair
is just the oscillating loop; the Ritz values of a Krylov space hold real and complex eigenvalues alike. For a strongly
non-normal map they may lie outside the spectrum (within the field of values) until the space is large: look at
``change`` and ``residual``.

Shape letters: P independent maps, N their dimension, M that of the Krylov space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """Ritz values, estimates of the outermost eigenvalues first of all; on the CPU.

    Args:
        eigenvalues: (P, M) complex; surplus ones are 0 where the space was exhausted before M.
        change: (P,) relative change of the radius by the last dimension of the space.
        residual: (P,) ``|J x - l x| / |l|`` of the dominant pair; 0 if exact, 0 for the zero map.
    """

    eigenvalues: Tensor
    change: Tensor
    residual: Tensor

    @property
    def radius(self) -> Tensor:
        """(P,) largest modulus."""
        return self.eigenvalues.abs().amax(-1)


def krylov_spectrum(times: Callable[[Tensor], Tensor], start: Tensor, dimension: int) -> Spectrum:
    """Ritz values of P maps on their Krylov spaces.

    Args:
        times: (P, N) -> (P, N), each row by its own map.
        start: (P, N), not 0; what lies in an invariant subspace sees that subspace alone, so draw it at random.
        dimension: M, at most N is used.
    """
    count = min(dimension, start.shape[1])
    rows = start.shape[0]
    hessenberg = torch.zeros(rows, count + 1, count, dtype=torch.float64, device=start.device)
    basis = start.new_zeros(rows, count + 1, start.shape[1])
    basis[:, 0] = start / _length(start).to(start)[:, None]
    limits = torch.finfo(start.dtype)
    for m in range(count):
        new = times(basis[:, m])
        size = _length(new)
        for _ in range(2):  # twice is enough: rounding leaves the first pass short of orthogonal
            part = torch.einsum("pkn,pn->pk", basis[:, : m + 1], new)
            new = new - torch.einsum("pk,pkn->pn", part, basis[:, : m + 1])
            hessenberg[:, : m + 1, m] += part.double()
        rest = _length(new)
        is_alive = rest > 10 * limits.eps * size  # else the space is invariant: what follows stays 0
        hessenberg[:, m + 1, m] = torch.where(is_alive, rest, 0.0)
        basis[:, m + 1] = torch.where(is_alive[:, None], new / rest.clamp(min=limits.tiny).to(new)[:, None], 0.0)
    hessenberg = hessenberg.cpu()  # small, and not every GPU build can take it apart
    is_finite = hessenberg.isfinite().flatten(1).all(1)  # a product that overflows has no eigenvalues to show: NaN
    hessenberg = torch.where(is_finite[:, None, None], hessenberg, 0.0)
    values, vectors = torch.linalg.eig(hessenberg[:, :count])
    values = torch.where(is_finite[:, None], values, torch.nan)
    largest = values.abs().argmax(-1, keepdim=True)
    radius = values.abs().gather(1, largest).squeeze(1)
    last = vectors[:, -1].gather(1, largest).squeeze(1).abs()
    before = torch.linalg.eigvals(hessenberg[:, : count - 1, : count - 1]).abs().amax(-1) if count > 1 else 0 * radius
    safe = radius.clamp(min=1e-300)
    order = values.abs().argsort(-1, descending=True)
    return Spectrum(values.gather(1, order), (radius - before).abs() / safe, hessenberg[:, count, -1] * last / safe)


def _length(vectors: Tensor) -> Tensor:
    """(P, N) -> (P,) fp64, where the squares of an fp32 number do not overflow."""
    return torch.linalg.vector_norm(vectors, dim=-1, dtype=torch.float64)
