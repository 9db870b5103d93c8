"""Weightings: what a random taste over the reward components looks like (VPO, arXiv 2605.22817).

A weighting is a point w on the simplex, the utility of an answer under it is ``w . r``. VPO draws K of them for every
prompt and step, from a flat Dirichlet, and shares them between the members of the group. The seed of a draw is a pure
function of (run seed, step, prompt), so every process, and every resumed run, draws the same ones without talking to
the others. No global random generator is read or touched.

Sobol points (scrambled, ``scipy.stats.qmc``) cover the simplex more evenly than independent draws, which lowers the
variance of the set reward at the same K; the marginal law of each row is the same.

Shape letters: K weightings, D components.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

_SMALLEST_ALPHA = 1e-100  # below it log(u) / alpha overflows; such a Dirichlet is a random corner to all 16 digits


class Weighting(Protocol):
    """A distribution over weightings, with its own number of rows per draw."""

    def draw(self, num: int, dim: int, seed: int) -> Tensor:
        """Draw weightings.

        Args:
            num: How many weightings the caller asks for, K >= 1.
            dim: Number of components, D >= 1.
            seed: 0 <= seed < 2**63; the same arguments always give the same weightings.

        Returns:
            (K, D) float32 CPU tensor.
        """
        ...


@dataclass(frozen=True)
class Dirichlet:
    """Symmetric Dirichlet(alpha, ..., alpha) over the simplex.

    Attributes:
        alpha: Concentration, > 0. 1 (the paper's choice) is uniform on the simplex, smaller goes to the corners (one
            component matters at a time), larger to the centre (all matter alike). With alpha = 1 what a specialist
            earns shrinks as D grows; alpha = c / D keeps it.
        method: "iid" for independent draws (the paper's default), "sobol" for scrambled Sobol points, which cover
            the simplex more evenly at the same K.

    Raises:
        ValueError: ``alpha`` is not a positive finite number, or ``method`` is unknown.
    """

    alpha: float = 1.0
    method: Literal["iid", "sobol"] = "iid"

    def __post_init__(self) -> None:
        if not (_is_real(self.alpha) and math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(
                f"alpha is {self.alpha!r}: expected a finite number above 0. Use 1.0 for weightings uniform on the "
                "simplex, less for its corners, more for its centre."
            )
        if self.method not in ("iid", "sobol"):
            raise ValueError(f"method is {self.method!r}: expected 'iid' or 'sobol'. Use 'iid' for the paper's draws.")

    def draw(self, num: int, dim: int, seed: int) -> Tensor:
        """Draw ``num`` weightings; each row lies on the simplex.

        Args:
            num: K >= 1.
            dim: D >= 1; with D = 1 every row is [1.0].
            seed: 0 <= seed < 2**63.

        Returns:
            (K, D) float32 CPU tensor, rows non-negative and summing to 1.

        Raises:
            ValueError: ``num`` or ``dim`` is below 1, or ``seed`` is out of range.
        """
        _check_draw(num, dim, seed)
        if dim == 1:
            return torch.ones(num, 1)
        rng = np.random.default_rng(seed)
        rows = self._iid(num, dim, rng) if self.method == "iid" else self._sobol(num, dim, rng)
        return torch.from_numpy(rows.astype(np.float32))

    def _iid(self, num: int, dim: int, rng: np.random.Generator) -> np.ndarray:
        # Gamma(alpha) = Gamma(alpha + 1) * U^(1 / alpha), kept as a logarithm: no row of zeros for a tiny alpha.
        alpha = max(self.alpha, _SMALLEST_ALPHA)
        log_gamma = np.log(rng.standard_gamma(alpha + 1, (num, dim)))
        return _normalise(log_gamma + np.log1p(-rng.random((num, dim))) / alpha)

    def _sobol(self, num: int, dim: int, rng: np.random.Generator) -> np.ndarray:
        if self.alpha == 1:  # the gaps between sorted uniforms are uniform on the simplex
            inner = np.sort(_sobol_points(num, dim - 1, rng), axis=1)
            return np.diff(inner, axis=1, prepend=0.0, append=1.0)
        return _normalise(_log_gamma_quantile(_sobol_points(num, dim, rng), max(self.alpha, _SMALLEST_ALPHA)))


@dataclass(frozen=True)
class Fixed:
    """One weighting, always the same: the w* of deployment, or one corner of the simplex.

    The weights are used as they are given and are *not* normalised: with TRL's ``reward_weights`` as the weights, one
    answer a completion and this weighting, the set reward is TRL's GRPO reward to the last bit.

    Attributes:
        weights: One finite number a component, D of them.

    Raises:
        ValueError: ``weights`` is empty or holds something that is not a finite number.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))  # a list from a YAML file stays hashable
        bad = [weight for weight in self.weights if not (_is_real(weight) and math.isfinite(weight))]
        if bad or not self.weights:
            raise ValueError(
                f"weights is {self.weights!r}: expected one finite number a component. Give as many as your reward "
                "functions have components, for instance (0.5, 0.5)."
            )

    def draw(self, num: int, dim: int, seed: int) -> Tensor:
        """Return the one weighting, whatever ``num`` and ``seed`` are.

        Args:
            num: K >= 1; ignored, as more copies would not change the mean over weightings.
            dim: D, must be the number of weights.
            seed: Ignored.

        Returns:
            (1, D) float32 CPU tensor.

        Raises:
            ValueError: ``dim`` is not the number of weights.
        """
        _check_draw(num, dim, seed)
        if dim != len(self.weights):
            raise ValueError(
                f"there are {len(self.weights)} fixed weights for {dim} reward components: expected one a component. "
                f"Give {dim} weights, in the order of the components."
            )
        return torch.tensor([self.weights], dtype=torch.float32)


def weighting_seed(seed: int, step: int, prompt_key: int) -> int:
    """Seed of the weightings that a prompt's group gets at a step.

    Args:
        seed: The run's seed.
        step: The step at which the group is generated.
        prompt_key: The prompt's ``prompt_key``.

    Returns:
        0 <= seed < 2**63, the same in every process and Python version, and unrelated for neighbouring arguments.
    """
    return _hash63(f"weighting {int(seed)} {int(step)} {int(prompt_key)}")


def prompt_key(prompt: str | Sequence[Any]) -> int:
    """Stable hash of a prompt.

    Args:
        prompt: A string, or a list of chat messages that are plain JSON (dicts, lists, strings, numbers). The order
            of the keys within a message does not matter.

    Returns:
        0 <= key < 2**63, the same in every process and Python version.

    Raises:
        TypeError: The prompt holds something that JSON does not know, such as an image.
    """
    try:
        text = json.dumps(prompt, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"cannot hash this prompt: {error}. Expected a string or chat messages of plain JSON. Keep images and "
            "other objects in columns of their own, and leave placeholders in the prompt."
        ) from error
    return _hash63(f"prompt {text}")


def _hash63(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _normalise(log_values: np.ndarray) -> np.ndarray:
    values = np.exp(log_values - log_values.max(axis=1, keepdims=True))  # the largest is 1: never a row of zeros
    return values / values.sum(axis=1, keepdims=True)


def _sobol_points(num: int, dim: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.stats import qmc  # lazy: takes most of a second to import, and independent draws do not need it

    # A power of two is drawn and cut: the same first points, without scipy's warning about other numbers.
    points = qmc.Sobol(dim, scramble=True, bits=30, rng=rng).random_base2((num - 1).bit_length())[:num]
    return points + 2.0**-31  # points are multiples of 2^-30: to the middle of the cell, so that none is 0


def _log_gamma_quantile(uniform: np.ndarray, alpha: float) -> np.ndarray:
    from scipy.special import gammaincinv, gammaln

    quantile = gammaincinv(alpha, uniform)
    # Near 0 the Gamma distribution function is x^alpha / Gamma(alpha + 1); inverted in logarithms it cannot underflow.
    log_small = (np.log(uniform) + gammaln(alpha + 1)) / alpha
    is_small = quantile < 1e-200
    return np.where(is_small, log_small, np.log(np.where(is_small, 1.0, quantile)))


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_draw(num: int, dim: int, seed: int) -> None:
    if num < 1:
        raise ValueError(f"num is {num}: expected at least 1 weighting. The paper uses 100.")
    if dim < 1:
        raise ValueError(f"dim is {dim}: expected at least 1 reward component. Give a reward function.")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed}: expected 0 <= seed < 2**63. Use weighting_seed(seed, step, prompt_key).")
