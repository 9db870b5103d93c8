"""Whether one method does better than another on the same problems: Wilcoxon's signed-rank test, by scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_ALL_SIGNS = 13  # problems; 2**13 assignments of signs are enumerated at once


def signed_rank_p(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of the hypothesis that ``a - b`` lies symmetrically around 0.

    Problems on which both do equally well say nothing and are left out (Wilcoxon's own treatment); if fewer than
    two others remain, p is 1. Exact for up to 13 remaining problems, and without ties up to 50; else by the normal
    approximation.

    Args:
        a: (P,) values of one method, each the mean over seeds.
        b: (P,) values of the other on the same problems.

    Raises:
        ValueError: The shapes differ or are not (P,) with P >= 1, or a value is not finite.
    """
    from scipy.stats import PermutationMethod, wilcoxon

    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"a has shape {first.shape} and b {second.shape}: expected (P,) of both, one problem at least."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        raise ValueError(
            "a or b holds NaN or infinity: expected a finite number for each problem. Leave such ones out."
        )
    # Sums of the same rewards in another order differ in the last place: that is no difference
    difference = difference[np.abs(difference) > 1e-12]
    if len(difference) < 2:
        return 1.0  # of a single problem either sign is as likely
    method = PermutationMethod(n_resamples=2**_ALL_SIGNS) if len(difference) <= _ALL_SIGNS else "auto"
    return float(wilcoxon(np.round(difference, 12), method=method).pvalue)
