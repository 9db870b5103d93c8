"""Volume that a pool of reward vectors dominates: one number for quality and spread, without a taste (moocore)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MOST_EXACT = 7  # components; beyond, the exact volume of 30 vectors takes seconds
_SAMPLES = 1 << 14


def pool_hypervolume(rewards: ArrayLike, reference: float = 0.0) -> NDArray[np.float64]:
    """Hypervolume of pools.

    Exact up to seven components, by a deterministic quadrature beyond (moocore's ``hv_approx``, error about 1e-3).

    Args:
        rewards: (..., N, D) reward vectors, higher is better; a missing answer holds zeros.
        reference: Value of every component at the corner from which volume is measured.

    Returns:
        (...) volumes; at most 1 for components in [0, 1] and a reference of 0.

    Raises:
        ValueError: Fewer than two dimensions, no answer, no component, or a reward is not finite.
    """
    vectors = np.asarray(rewards, dtype=np.float64)
    if vectors.ndim < 2 or 0 in vectors.shape or not np.isfinite(vectors).all():
        raise ValueError(f"rewards has shape {vectors.shape}: expected (..., N, D), none of them empty, all finite.")
    batch = vectors.reshape(-1, *vectors.shape[-2:])
    return np.array([_volume(pool, reference) for pool in batch]).reshape(vectors.shape[:-2])


def _volume(pool: NDArray[np.float64], reference: float) -> float:
    import moocore

    inside = pool[(pool > reference).all(axis=1)]  # what lies on the border dominates no volume
    dim = pool.shape[1]
    if not len(inside):
        return 0.0
    if dim == 1:
        return float(inside.max() - reference)
    corner = np.full(dim, reference)
    if dim <= _MOST_EXACT:
        return float(moocore.hypervolume(inside, ref=corner, maximise=True))
    return float(moocore.hv_approx(inside, ref=corner, maximise=True, nsamples=_SAMPLES))
