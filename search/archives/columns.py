"""A matrix that grows and shrinks by one candidate at a time without being rebuilt.

Letters: N candidates, D components.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Columns:
    """Reward vectors laid out by component, so that one component of all candidates lies in one piece of memory.

    Space doubles when it runs out, so an append costs O(D) on average.
    """

    def __init__(self) -> None:
        self._space = np.empty((0, 0))
        self._num = 0

    def __len__(self) -> int:
        return self._num

    @property
    def values(self) -> NDArray[np.float64]:
        """(D, N) view for the owner to read and write; it is out of date after the next append or removal."""
        return self._space[:, : self._num]

    def append(self, vector: Sequence[float]) -> None:
        """Add a candidate behind the others."""
        if self._num == self._space.shape[1]:
            grown = np.empty((len(vector), max(16, 2 * self._num)))
            grown[:, : self._num] = self._space[:, : self._num] if self._num else 0.0
            self._space = grown
        self._space[:, self._num] = vector
        self._num += 1

    def swap_remove(self, index: int) -> None:
        """Remove a candidate; the last one takes its place."""
        self._num -= 1
        self._space[:, index] = self._space[:, self._num]
