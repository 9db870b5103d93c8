"""What a target costs, when not every search reaches it before its budget ends.

A search that ended without the target has a cost of which only "more than the budget" is known (it is censored). Its
cost is never left out of a mean, which would make the method that reaches only easy targets look fast: there is the
share that reaches the target, the median of those that do, and the median of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Reach:
    """Costs of a target over searches.

    Attributes:
        share: Share of the searches that reach the target.
        median_of_reached: Median cost of those; NaN if there is none. Two methods' medians are of different problems.
        median: Median cost of all searches; infinite if the target is not reached by half of them.
    """

    share: float
    median_of_reached: float
    median: float


def reach(costs: ArrayLike) -> Reach:
    """Summarise costs to a target.

    Args:
        costs: Any shape, one cost a search; infinite where the budget ended first.

    Raises:
        ValueError: There is no search, or a cost is NaN or negative.
    """
    values = np.asarray(costs, dtype=np.float64).ravel()
    if not len(values) or np.isnan(values).any() or (values < 0).any():
        raise ValueError(
            f"costs holds {len(values)} values: expected one at least, none NaN or below 0. Write infinity for a "
            "search that did not reach the target."
        )
    reached = values[np.isfinite(values)]
    # The lower of the two middle values on even counts: halfway between a number and infinity is nothing
    median = float(np.sort(values)[(len(values) - 1) // 2])
    return Reach(len(reached) / len(values), float(np.median(reached)) if len(reached) else math.nan, median)
