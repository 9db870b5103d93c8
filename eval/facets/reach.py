"""How far from a kind a text may lie and still be of it; what lies farther is novel.

Half-way from where nearly all of the kind's own texts lie to where another kind begins: RL polishes a format without
leaving it. A kind's texts are measured with their own prompt left out of the centroid, as new prompts will be. Each
view has a reach of its own beside that of both, or a text on one line would be of any kind that has one line.

Shape letters: N texts, V buckets, K kinds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]
NEARLY_ALL = 0.99


def reaches(
    vectors: csr_array, prompts: NDArray[np.int64], members: list[NDArray[np.int64]], beginning: float
) -> list[float]:
    """Reach of each kind.

    The edge over all kinds is the least that any gets: a rare kind's own texts are too few to tell.

    Args:
        vectors: (N, V) of length 1.
        prompts: (N,) numbers of prompts.
        members: K arrays of rows.
        beginning: Distance at which another kind begins.

    Returns:
        K cosine distances to the centroid, to six digits.
    """
    if not members:
        return []
    own = [_distances_without_own_prompt(csr_array(vectors[each]), prompts[each]) for each in members]
    pooled = float(np.quantile(np.concatenate(own), NEARLY_ALL))
    edges = [max(float(np.quantile(each, NEARLY_ALL)), pooled) for each in own]
    return [round(max(edge, (edge + beginning) / 2), 6) for edge in edges]


def _distances_without_own_prompt(vectors: csr_array, prompts: NDArray[np.int64]) -> Array:
    """(N,) distances of a kind's texts to the centroid of those of other prompts; of all, where there are no others."""
    numbers, own = np.unique(prompts, return_inverse=True)
    if len(numbers) == 1:
        own = np.arange(len(own)) if len(own) > 1 else np.zeros(1, dtype=np.int64)
    size = int(own.max()) + 1
    membership = csr_array((np.ones(len(own)), (own, np.arange(len(own)))), shape=(size, len(own)))
    sums = csr_array(membership @ vectors)  # one a prompt
    total = np.asarray(vectors.sum(axis=0))
    rest = vectors @ total - np.asarray(vectors.multiply(sums[own]).sum(axis=1)) * (size > 1)
    squares = np.asarray(sums.multiply(sums).sum(axis=1))
    norms = float(total @ total) - (2 * (sums @ total) - squares) * (size > 1)
    return (1 - rest / np.sqrt(np.maximum(norms[own], 1e-12))).clip(0, 1)
