"""Lexicase selection: a parent is chosen by reward components in random order, never by one hidden scalar.

Helmuth, Spector and Matheson 2015. Per pick: shuffle the components; keep only the candidates that are best on the
first, then among those the best on the second, and so on; ties that are left are broken uniformly. Specialists are
chosen as often as the components that they win come first. A dominated candidate is never chosen. Epsilon is 0 here.
Letters: N candidates, D components.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import ArrayLike, NDArray


def lexicase(vectors: ArrayLike, rng: random.Random) -> int:
    """Choose one candidate.

    Args:
        vectors: (N, D) finite rewards, higher is better.
        rng: Draws the order of components and breaks ties.

    Returns:
        Index of the chosen row, in [0, N).

    Raises:
        ValueError: ``vectors`` is not a matrix with at least one row and one column.
    """
    matrix = np.asarray(vectors, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f"vectors has shape {matrix.shape}, expected (N, D) with N, D >= 1: give one reward vector per candidate."
        )
    order = list(range(matrix.shape[1]))
    rng.shuffle(order)
    alive: NDArray[np.intp] = np.arange(len(matrix))
    for component in order:
        column = matrix[alive, component]
        alive = alive[column == column.max()]
        if len(alive) == 1:
            break
    return int(alive[rng.randrange(len(alive))])
