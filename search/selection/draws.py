"""Draws by weight from numpy arrays with a ``random.Random``, so that one generator serves a whole ask."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray


def draw(weights: NDArray[np.float64], rng: random.Random) -> int:
    """Draw an index with probability proportional to its weight; weights are >= 0 with a positive sum."""
    cumulative = np.cumsum(weights)
    # The last index of positive weight, should rounding carry the draw beyond the end
    last = int(np.flatnonzero(weights)[-1])
    return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")), last)


def softmax(values: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities proportional to exp(value / temperature); at temperature 0 the best share everything."""
    shifted = values - values.max()
    if temperature <= 0:
        weights = (shifted == 0).astype(np.float64)
    else:
        with np.errstate(over="ignore", under="ignore"):  # a tiny temperature: -inf, and exp of it is 0
            weights = np.exp(shifted / temperature)
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities
