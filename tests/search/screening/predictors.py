"""Predictors whose worth is known: what the real evaluator says, spoilt as a test wants it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search.seeds import stable_hash


class SlotMeans:
    """Learns what each word at each place earned on average: a sum over slots, which is right for the toy problem."""

    def __init__(self, problem: Any) -> None:
        self._answers: list[list[str]] = []
        self._rewards: list[np.ndarray] = []

    def update(self, problem: Any, candidates: Sequence[str], rewards: np.ndarray) -> None:
        self._answers += [each.split() for each in candidates]
        self._rewards += list(rewards)

    def predict(self, problem: Any, candidates: Sequence[str]) -> tuple[np.ndarray, None]:
        return np.array([self._foreseen(each.split()) for each in candidates]), None

    def _foreseen(self, words: list[str]) -> np.ndarray:
        average = np.mean(self._rewards, axis=0)
        total = average.copy()
        for place, word in enumerate(words):
            same = [r for a, r in zip(self._answers, self._rewards, strict=True) if a[place : place + 1] == [word]]
            total += (np.mean(same, axis=0) - average) if same else 0.0
        return total


class Oracle:
    """Foresees what the problem itself says, through ``spoil(rewards, rng, number of updates so far)``."""

    def __init__(self, problem: Any, spoil: Callable[[np.ndarray, random.Random, int], np.ndarray]) -> None:
        self._spoil, self._num = spoil, 0

    def update(self, problem: Any, candidates: Sequence[str], rewards: np.ndarray) -> None:
        self._num += len(candidates)

    def predict(self, problem: Any, candidates: Sequence[str]) -> tuple[np.ndarray, None]:
        real = np.array([problem.score(each) for each in candidates])
        rngs = [random.Random(stable_hash("spoil", each)) for each in candidates]
        return np.array([self._spoil(row, rng, self._num) for row, rng in zip(real, rngs, strict=True)]), None


def noisy(deviation: float) -> Callable[[Any], Oracle]:
    return lambda problem: Oracle(problem, lambda row, rng, _: row + np.array([rng.gauss(0, deviation) for _ in row]))


def random_guess(problem: Any) -> Oracle:
    return Oracle(problem, lambda row, rng, _: np.array([rng.random() for _ in row]))


def inverted(problem: Any) -> Oracle:
    return Oracle(problem, lambda row, rng, _: -row + rng.gauss(0, 0.01))


def turning(after: int) -> Callable[[Any], Oracle]:
    """Right until it has learned from so many answers, wrong from there on."""
    return lambda problem: Oracle(problem, lambda row, rng, num: (row if num < after else -row) + rng.gauss(0, 0.01))


class Backwards(SlotMeans):
    """What slots earned, with the sign reversed."""

    def predict(self, problem: Any, candidates: Sequence[str]) -> tuple[np.ndarray, None]:
        mean, _ = super().predict(problem, candidates)
        return -mean, None


def backwards(problem: Any) -> Backwards:
    return Backwards(problem)
