"""Pareto dominance: who is as good as another everywhere and better somewhere, and who is best at something.

Letters: N candidates, D components.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search.selection.cases import as_matrix


def non_dominated(vectors: ArrayLike) -> NDArray[np.bool_]:
    """Find the Pareto front; equal vectors are all on it or all off it.

    Args:
        vectors: (N, D) finite rewards, higher is better.

    Returns:
        (N,) True on the front.

    Raises:
        ValueError: ``vectors`` is no matrix.
    """
    import moocore  # here, because it costs a fifth of a second

    front: NDArray[np.bool_] = moocore.is_nondominated(as_matrix(vectors), maximise=True, keep_weakly=True)
    return front


def num_wins(vectors: ArrayLike) -> NDArray[np.intp]:
    """Count for each candidate the components on which nobody is better: ties are wins of all.

    Args:
        vectors: (N, D) finite rewards, higher is better.

    Returns:
        (N,) counts in [0, D].
    """
    matrix = as_matrix(vectors)
    wins: NDArray[np.intp] = (matrix == matrix.max(axis=0)).sum(axis=1)
    return wins


def shared_wins(vectors: ArrayLike) -> NDArray[np.float64]:
    """Divide one point per component among those who are best on it (implicit fitness sharing, Smith et al. 1993).

    Args:
        vectors: (N, D) finite rewards, higher is better.

    Returns:
        (N,) points that sum to D: who alone passes a test has the whole point, however weak it is elsewhere.
    """
    matrix = as_matrix(vectors)
    best = matrix == matrix.max(axis=0)
    points: NDArray[np.float64] = (best / best.sum(axis=0)).sum(axis=1)
    return points


def specialist_weights(vectors: ArrayLike) -> NDArray[np.float64]:
    """Weigh candidates as GEPA does (arXiv 2507.19457): by the number of components that each is best on.

    Dominated candidates weigh nothing. GEPA also drops a program if others cover all that it wins; here only Pareto
    dominance counts, so the weights do not depend on the order of candidates.

    Args:
        vectors: (N, D) finite rewards, higher is better.

    Returns:
        (N,) probabilities.
    """
    weights = np.where(non_dominated(vectors), num_wins(vectors), 0)
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities
