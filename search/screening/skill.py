"""Does what was foreseen tell the better answers from the worse? Two measures on a block of answers.

Letters: N answers of a block, B betas.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BETAS = (0.5, 1.0, 2.0)
"""By how much foreseen differences may be too large or too small."""


def order_evidence(merits: Array, leads: Array, deviation: float) -> Array:
    """Evidence against "any order of the leads is as likely as any other", in favour of the one that merits foresee.

    If leads are merits times beta and normal errors, the likelihood of a pairing is ``exp(beta sum m_i g_i / s^2)`` up
    to what all pairings share. Its ratio to the mean over all pairings of the same values has mean 1 under the
    hypothesis, exactly, whatever the values are: a permutation test as an e-value.

    Args:
        merits: (N,) leads foreseen; N is 8 at most, as all orders are gone through.
        leads: (N,) real leads.
        deviation: s, the standard deviation of the errors, above 0.

    Returns:
        (B,) natural logarithms of e-values, one for each of ``BETAS``.
    """
    products = np.outer(merits, leads) / deviation**2
    sums = products[np.arange(len(merits)), _orders(len(merits))].sum(axis=1)  # the first order is the real one
    found = [beta * sums[0] - np.logaddexp.reduce(beta * sums) + np.log(len(sums)) for beta in BETAS]
    return np.array(found)


def pair_skill(above: Array, below: Array) -> float:
    """Share of pairs, one of each, in which the one above is better; ties count half. NaN without a pair."""
    if not (above.size and below.size):
        return float("nan")
    return float(np.mean((above[:, None] > below) + 0.5 * (above[:, None] == below)))


@lru_cache(maxsize=8)
def _orders(num: int) -> NDArray[np.intp]:
    return np.array(list(itertools.permutations(range(num))))
