"""Dirichlet weightings, drawn independently or as Sobol points.

Sobol points (scrambled, ``scipy.stats.qmc``) cover the simplex more evenly than independent draws, which lowers the
variance of the set reward at the same K; the marginal law of each row is the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vpo.weightings.protocol import check_draw, is_real, shares

_SMALLEST_ALPHA = 1e-100  # below it log(u) / alpha overflows; such a Dirichlet is a random corner to all 16 digits
_PER_COMPONENT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*/\s*d\s*")


@dataclass(frozen=True)
class Dirichlet:
    """Dirichlet over the simplex; symmetric unless a centre is given.

    Attributes:
        alpha: Concentration of a component, > 0. 1 (the paper's choice) is uniform on the simplex, smaller goes to the
            corners (one component matters at a time), larger to the centre (all matter alike). Or text such as "1/d":
            so much divided by the number of components. With alpha = 1 what a specialist earns shrinks as D grows
            (three specialists on a third of the components each: .61 at D = 3, .42 at D = 30); "1/d" keeps it.
        method: "iid" for independent draws (the paper's default), "sobol" for scrambled Sobol points.

    Raises:
        ValueError: ``alpha`` is not a positive finite number or such a text, or ``method`` is unknown.
    """

    alpha: float | str = 1.0
    method: Literal["iid", "sobol"] = "iid"

    def __post_init__(self) -> None:
        self._alpha(1)
        if self.method not in ("iid", "sobol"):
            raise ValueError(f"method is {self.method!r}: expected 'iid' or 'sobol'. Use 'iid' for the paper's draws.")

    def _alpha(self, dim: int) -> float:
        """Concentration of each of ``dim`` components."""
        alpha: object = self.alpha
        if isinstance(alpha, str):
            found = _PER_COMPONENT.fullmatch(alpha)
            alpha = float(found[1]) / dim if found else alpha
        if not (is_real(alpha) and math.isfinite(alpha) and alpha > 0):  # type: ignore[arg-type, operator]
            raise ValueError(
                f"alpha is {self.alpha!r}: expected a finite number above 0, or text such as '1/d'. Use 1.0 for "
                "weightings uniform on the simplex, less for its corners, more for its centre."
            )
        return float(alpha)  # type: ignore[arg-type]

    def concentration(self, dim: int, center: Sequence[float] | None = None) -> np.ndarray:
        """Parameters of the Dirichlet that `draw` draws from.

        Args:
            dim: D.
            center: As for `draw`.

        Returns:
            (D,) float64; with n components that have a weight, their parameters sum to n alpha, so that equal weights
            of deployment give the symmetric Dirichlet.
        """
        share = shares(center, dim)
        present = int(np.count_nonzero(share))
        return max(self._alpha(present), _SMALLEST_ALPHA) * present * share

    def draw(self, num: int, dim: int, seed: int, center: Sequence[float] | None = None) -> Tensor:
        """Draw ``num`` weightings; each row lies on the simplex.

        Args:
            num: K >= 1.
            dim: D >= 1; with D = 1 every row is [1.0].
            seed: 0 <= seed < 2**63.
            center: D numbers that the mean weighting is proportional to, such as w*; a component with 0 always has
                weight 0. None for all alike.

        Returns:
            (K, D) float32 CPU tensor, rows non-negative and summing to 1.

        Raises:
            ValueError: ``num`` or ``dim`` is below 1, ``seed`` is out of range, or ``center`` is no centre.
        """
        check_draw(num, dim, seed)
        alpha = self.concentration(dim, center)
        present = alpha > 0
        drawn = np.zeros((num, dim), dtype=np.float32)
        if present.sum() == 1:
            drawn[:, present] = 1.0
            return torch.from_numpy(drawn)
        rng = np.random.default_rng(seed)
        inner = alpha[present]
        rows = _iid(num, inner, rng) if self.method == "iid" else _sobol(num, inner, rng)
        drawn[:, present] = rows
        return torch.from_numpy(drawn)


def _iid(num: int, alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # Gamma(alpha) = Gamma(alpha + 1) * U^(1 / alpha), kept as a logarithm: no row of zeros for a tiny alpha.
    shape = (num, len(alpha))
    log_gamma = np.log(rng.standard_gamma(np.broadcast_to(alpha + 1, shape)))
    return _normalise(log_gamma + np.log1p(-rng.random(shape)) / alpha)


def _sobol(num: int, alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if (alpha == 1).all():  # the gaps between sorted uniforms are uniform on the simplex
        inner = np.sort(_sobol_points(num, len(alpha) - 1, rng), axis=1)
        return np.diff(inner, axis=1, prepend=0.0, append=1.0)
    return _normalise(_log_gamma_quantile(_sobol_points(num, len(alpha), rng), alpha))


def _normalise(log_values: np.ndarray) -> np.ndarray:
    values = np.exp(log_values - log_values.max(axis=1, keepdims=True))  # the largest is 1: never a row of zeros
    return values / values.sum(axis=1, keepdims=True)


def _sobol_points(num: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.stats import qmc  # lazy: takes most of a second to import, and independent draws do not need it

    # A power of two is drawn and cut: the same first points, without scipy's warning about other numbers.
    points = qmc.Sobol(dim, scramble=True, bits=30, rng=rng).random_base2((num - 1).bit_length())[:num]
    return points + 2.0**-31  # points are multiples of 2^-30: to the middle of the cell, so that none is 0


def _log_gamma_quantile(uniform: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    from scipy.special import gammaincinv, gammaln

    quantile = gammaincinv(alpha, uniform)
    # Near 0 the Gamma distribution function is x^alpha / Gamma(alpha + 1); inverted in logarithms it cannot underflow.
    log_small = (np.log(uniform) + gammaln(alpha + 1)) / alpha
    is_small = quantile < 1e-200
    return np.where(is_small, log_small, np.log(np.where(is_small, 1.0, quantile)))
