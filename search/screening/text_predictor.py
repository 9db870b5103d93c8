"""A model of any evaluator with text answers: a Gaussian process over similarities of texts, learned from nothing.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), ch. 2 and 5. Exact, on the answers evaluated
last. The kernel, one of a fixed list, and the noise are those of highest marginal likelihood; each component has a
variance of its own, which is profiled out. They are chosen again when there are half as many answers more, on what was
there then, so the model is a function of the data and not of when it was asked. Letters: N answers learned from, M
foreseen, D components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from search.problem import Problem
from search.screening.text_features import (
    Array,
    TextFeatures,
    Texts,
    gram_similarity,
    number_distance,
    place_similarity,
    text_features,
    usual_numbers,
)

_NOISES = (0.001, 0.01, 0.1, 0.5)  # of the variance of the rewards, beside that of the signal
_LENGTHS = (0.3, 1.0, 3.0)
_GROWTH = 1.5


class _Kernel(NamedTuple):
    """View of the texts, and length over which rewards change; an infinite one makes the kernel linear."""

    view: str
    length: float


class _Fit(NamedTuple):
    kernel: _Kernel
    texts: Texts  # N
    centre: Array  # of numbers
    scale: Array
    factor: tuple[Array, bool]
    weights: Array  # (N, D)
    variance: Array  # (D,)
    noise: float
    mean: Array  # (D,)


class TextPredictor:
    """Learns rewards from the texts of answers.

    Args:
        problem: Not looked at; every predictor by name is made for one.
        most: Answers learned from at most, the latest: time grows with the third power.

    Raises:
        ValueError: ``most`` is below 2.
    """

    def __init__(self, problem: Problem | None = None, *, most: int = 400) -> None:
        if isinstance(most, bool) or not isinstance(most, int) or most < 2:
            raise ValueError(f"most is {most!r}, expected a whole number, 2 at least: 400 is the default.")
        self._most = most
        self._features: list[TextFeatures] = []
        self._rewards: list[Array] = []
        self._chosen: tuple[int, _Kernel, float] | None = None  # with how many answers it was chosen
        self._fitted: _Fit | None = None

    def update(self, problem: Problem, candidates: Sequence[str], rewards: Array) -> None:
        """Learn what answers earned; see `search.screening.RewardPredictor`."""
        self._features += [text_features(each) for each in candidates]
        self._rewards += list(np.asarray(rewards, dtype=np.float64))
        self._fitted = None

    def predict(self, problem: Problem, candidates: Sequence[str]) -> tuple[Array, Array | None]:
        """Foresee rewards; see `search.screening.RewardPredictor`.

        Raises:
            ValueError: Nothing was learned yet.
        """
        if not self._rewards:
            raise ValueError("nothing was learned yet, expected evaluated answers: call update() first.")
        fit = self._fitted = self._fitted or self._fit()
        new = Texts.of([text_features(each) for each in candidates])
        cross = _similarities(fit.kernel, new, fit.texts, fit.centre, fit.scale)  # (M, N)
        mean = fit.mean + cross @ fit.weights
        explained = np.einsum("mn,nm->m", cross, cho_solve(fit.factor, cross.T))
        left = np.maximum(1.0 - explained, 0.0) + fit.noise
        return mean, np.sqrt(left[:, None] * fit.variance)

    def _fit(self) -> _Fit:
        num = 1
        while int(np.ceil(num * _GROWTH)) <= len(self._rewards):
            num = int(np.ceil(num * _GROWTH))
        if self._chosen is None or self._chosen[0] != num:
            then = slice(max(0, num - self._most), num)
            self._chosen = (num, *_choose(Texts.of(self._features[then]), self._rewards[then]))
        _, kernel, noise = self._chosen
        texts, rewards = Texts.of(self._features[-self._most :]), np.array(self._rewards[-self._most :])
        centre, scale = usual_numbers(texts)
        matrix = _similarities(kernel, texts, texts, centre, scale)
        factor = cho_factor(matrix + (noise + 1e-8) * np.eye(len(matrix)), lower=True)
        mean = rewards.mean(axis=0)
        weights = cho_solve(factor, rewards - mean)
        variance = ((rewards - mean) * weights).sum(axis=0) / len(rewards)
        return _Fit(kernel, texts, centre, scale, factor, weights, variance, noise, mean)


def _choose(texts: Texts, rewards: Sequence[Array]) -> tuple[_Kernel, float]:
    """Kernel and noise of highest marginal likelihood."""
    target = np.array(rewards) - np.mean(rewards, axis=0)
    target = target[:, target.std(axis=0) > 0]
    centre, scale = usual_numbers(texts)
    kernels = [_Kernel(view, length) for view in ("places", "grams") for length in (*_LENGTHS, np.inf)]
    if len(centre):
        kernels += [_Kernel("numbers", length) for length in _LENGTHS]
    if not target.size or len(target) < 4:
        return kernels[0], _NOISES[-1]
    best = (-np.inf, kernels[0], _NOISES[-1])
    for kernel in kernels:
        values, vectors = np.linalg.eigh(_similarities(kernel, texts, texts, centre, scale))
        squares = (vectors.T @ target) ** 2  # (N, D)
        for noise in _NOISES:
            eigen = np.maximum(values, 0.0) + noise + 1e-8
            variance = np.maximum((squares / eigen[:, None]).mean(axis=0), 1e-300)
            likelihood = -0.5 * (len(target) * np.log(variance).sum() + target.shape[1] * np.log(eigen).sum())
            if likelihood > best[0]:
                best = (float(likelihood), kernel, noise)
    return best[1], best[2]


def _similarities(kernel: _Kernel, a: Texts, b: Texts, centre: Array, scale: Array) -> Array:
    """(N, M) kernel, 1 between equal texts."""
    if kernel.view == "numbers":
        return np.asarray(np.exp(-number_distance(a, b, centre, scale) / (2 * kernel.length**2)))
    similar = place_similarity(a, b) if kernel.view == "places" else gram_similarity(a, b)
    if np.isinf(kernel.length):
        return similar
    return np.asarray(np.exp((similar - 1) / kernel.length))
