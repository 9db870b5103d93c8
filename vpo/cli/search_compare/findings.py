"""Over which part of the budget one arm's curve lies above another's, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.comparison import crossed_band

Array = NDArray[np.float64]

_TIE = 1e-9  # sums of the same rewards in another order


@dataclass(frozen=True)
class Lead:
    """The difference of two curves at each cost of a grid.

    Attributes:
        grid: (X,) costs.
        mean: (X,) mean difference over seeds and problems.
        lo: (X,) lower end of the 95% interval at each cost by itself; NaN if there is one search alone.
        hi: (X,) upper end.
    """

    grid: Array
    mean: Array
    lo: Array
    hi: Array

    @property
    def above(self) -> NDArray[np.bool_]:
        """(X,) where the mean lies above 0."""
        return np.asarray(self.mean > _TIE)

    @property
    def below(self) -> NDArray[np.bool_]:
        """(X,) where the mean lies below 0."""
        return np.asarray(self.mean < -_TIE)

    def sentence(self, who: str, against: str, unit: str) -> str:
        """Say where the curve lies above, where it does not, and where that is certain."""
        total, level = len(self.grid), ~self.above & ~self.below
        if self.above.all():
            text = f"{who} lies above {against} at all {total} budgets"
        else:
            text = f"{who} lies above {against} at {int(self.above.sum())} of {total} budgets"
            parts = [f"below at {ranges(self.grid, self.below)}"] if self.below.any() else []
            parts += [f"level at {ranges(self.grid, level)}"] if level.any() else []
            text += f" of {unit}: " + ", ".join(parts)
        sure = [
            f"{word} at {ranges(self.grid, mask)}"
            for word, mask in (("above", self.lo > _TIE), ("below", self.hi < -_TIE))
            if mask.any()
        ]
        return f"{text}. The 95% interval excludes 0 " + (f"{', '.join(sure)}." if sure else "nowhere.")


def lead(a: Array, b: Array, grid: Array) -> Lead:
    """Paired difference of curves (S, P, X) on the same seeds and problems."""
    band = crossed_band(a - b)
    return Lead(grid, band.mean, band.lo, band.hi)


def ranges(grid: Array, mask: NDArray[np.bool_]) -> str:
    """The chosen costs, neighbours joined: ``"24 to 96, 240"``."""
    parts: list[list[float]] = []
    previous = -2
    for index in np.flatnonzero(mask).tolist():
        if index == previous + 1:
            parts[-1][1:] = [float(grid[index])]
        else:
            parts.append([float(grid[index])])
        previous = index
    return ", ".join(" to ".join(f"{cost:,.0f}" for cost in part) for part in parts)
