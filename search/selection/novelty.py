"""Dominated novelty: how far a candidate lies from those that are fitter (Bahlous-Boldi et al., arXiv 2502.00593).

It has no grid to tune: whoever is fittest in its own neighbourhood is far from everybody fitter, and stays. Letters:
N candidates, B dimensions of the descriptor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def dominated_novelty(fitness: ArrayLike, descriptors: ArrayLike, num_neighbors: int = 3) -> NDArray[np.float64]:
    """Score candidates by their mean distance to the nearest strictly fitter ones.

    Args:
        fitness: (N,) higher is better.
        descriptors: (N, B) where each candidate lies.
        num_neighbors: Over how many fitter neighbours the mean runs; over all of them if there are fewer.

    Returns:
        (N,) scores; infinity for those that nobody is fitter than.

    Raises:
        ValueError: The shapes do not fit, or ``num_neighbors`` is below 1.
    """
    fit, places = np.asarray(fitness, dtype=np.float64), np.asarray(descriptors, dtype=np.float64)
    if fit.ndim != 1 or places.ndim != 2 or len(fit) != len(places):
        raise ValueError(
            f"fitness {fit.shape} and descriptors {places.shape} do not fit: expected (N,) and (N, B). Give one "
            "fitness and one row of descriptors per candidate."
        )
    if num_neighbors < 1:
        raise ValueError(f"num_neighbors is {num_neighbors}, expected at least 1: the paper uses 3.")
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return novelty_of(distances, fit, num_neighbors)


def novelty_of(distances: NDArray[np.float64], fitness: NDArray[np.float64], num_neighbors: int) -> NDArray[np.float64]:
    """The same from (N, N) distances, for archives that keep them."""
    if len(fitness) == 0:
        return np.empty(0)
    to_fitter = np.where(fitness[None, :] > fitness[:, None], distances, np.inf)
    num = min(num_neighbors, len(fitness))
    nearest = np.partition(to_fitter, num - 1, axis=1)[:, :num]
    there = np.isfinite(nearest)
    counts = there.sum(axis=1)
    sums = np.where(there, nearest, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
