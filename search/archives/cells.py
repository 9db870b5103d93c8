"""MAP-Elites (Mouret and Clune, arXiv 1504.04909): the best answer of each cell of a map of behaviours.

A descriptor says in which cell a candidate lies. By default that is read off the reward vector: the two components on
which it is strongest. So every pair of strengths has its own best answer, and no weak all-rounder crowds them out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from search.records import Candidate

Descriptor = Callable[[Candidate], Hashable]
"""Candidate -> its cell. Must be a function of the candidate alone."""


def strongest_two(candidate: Candidate) -> Hashable:
    """Name the two components of highest reward, the first ones of equals; just one if there is no second."""
    order = sorted(range(len(candidate.vector)), key=lambda component: -candidate.vector[component])
    return tuple(sorted(order[:2]))


def grid(
    measures: Callable[[Candidate], Sequence[float]],
    *,
    lower: Sequence[float],
    upper: Sequence[float],
    num_bins: Sequence[int],
) -> Descriptor:
    """Make a descriptor out of B measures: each range is cut into bins of equal width, what lies outside is clipped.

    Args:
        measures: Candidate -> B numbers.
        lower: (B,) least value of each measure.
        upper: (B,) largest value of each measure.
        num_bins: (B,) how many cells each range is cut into.

    Raises:
        ValueError: The lengths differ, a range is empty, or a number of bins is below 1; later, if ``measures`` gives
            another number of values, or NaN.
    """
    if not len(lower) == len(upper) == len(num_bins) >= 1:
        raise ValueError(
            f"lower, upper and num_bins have {len(lower)}, {len(upper)} and {len(num_bins)} entries, expected one each "
            "per measure: give them the same length."
        )
    if not all(low < high for low, high in zip(lower, upper, strict=True)) or min(num_bins) < 1:
        raise ValueError(
            f"lower {list(lower)}, upper {list(upper)} and num_bins {list(num_bins)} do not span a grid, expected "
            "lower < upper and at least one bin: widen the empty range."
        )

    def cell(candidate: Candidate) -> Hashable:
        values = measures(candidate)
        if len(values) != len(lower) or any(math.isnan(value) for value in values):
            raise ValueError(
                f"measures gave {list(values)}, expected {len(lower)} numbers: one for each range of the grid."
            )
        shares = ((v - low) / (high - low) for v, low, high in zip(values, lower, upper, strict=True))
        return tuple(
            int(min(max(share, 0.0), 1.0) * bins) if share < 1 else bins - 1
            for share, bins in zip(shares, num_bins, strict=True)
        )

    return cell


class CellArchive:
    """The elite of each cell: the highest scalar, the shorter answer if they tie, then the earlier one.

    Args:
        descriptor: In which cell a candidate lies.

    Attributes:
        elites: One candidate per cell, in the order in which the cells were reached.
    """

    def __init__(self, descriptor: Descriptor = strongest_two) -> None:
        self.descriptor = descriptor
        self.elites: list[Candidate] = []
        self._index: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.elites)

    def add(self, candidate: Candidate) -> bool:
        """Put a candidate into its cell if it is better than the elite.

        Returns:
            Whether it is the elite of its cell now.
        """
        cell = self.descriptor(candidate)
        index = self._index.get(cell)
        if index is None:
            self._index[cell] = len(self.elites)
            self.elites.append(candidate)
            return True
        if _quality(candidate) > _quality(self.elites[index]):
            self.elites[index] = candidate
            return True
        return False


def _quality(candidate: Candidate) -> tuple[float, int]:
    return candidate.scalar, -len(candidate.answer)
