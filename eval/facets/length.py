"""How long a text is, in bins that hold equal parts of the reference: any move of lengths is a move of shares.

Tokens where the reference knows them, else characters. Beyond the outermost quantiles stand a bin for twice the longest
text of the reference and one for half the shortest: a runaway is not the same as the longest fifth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.samples import Samples, require_samples


class LengthFacet:
    """Length in frozen bins.

    Args:
        num_bins: Bins of equal shares of the reference, fewer where lengths tie.

    Attributes:
        unit: ``tokens`` or ``characters``; None before :meth:`fit`.
        edges: Upper ends of all bins but the last, in that unit; the last bin is open.

    Raises:
        ValueError: ``num_bins`` is below 2.
    """

    name = "length"
    description = "Length, in bins of equal shares of the reference"

    def __init__(self, num_bins: int = 5) -> None:
        if num_bins < 2:
            raise ValueError(f"num_bins is {num_bins}: expected at least 2. Use 5.")
        self.num_bins = num_bins
        self.unit: str | None = None
        self.edges: tuple[int, ...] = ()

    def fit(self, reference: Samples) -> None:
        """Freeze unit and bins.

        Raises:
            ValueError: There are no samples.
        """
        require_samples(reference)
        self.unit = "characters" if reference.tokens is None else "tokens"
        lengths = _lengths(reference, self.unit)
        within = np.quantile(lengths, np.arange(1, self.num_bins) / self.num_bins, method="inverted_cdf")
        outer = [int(lengths.min() - 1) // 2, 2 * int(lengths.max())]
        self.edges = tuple(sorted({*within.astype(int).tolist(), *(edge for edge in outer if edge >= 0)}))

    def labels(self, samples: Samples) -> list[str]:
        """N bins, such as ``101-180 tokens``.

        Raises:
            RuntimeError: Nothing was fitted yet.
            ValueError: The reference's lengths are tokens, and these samples do not know theirs.
        """
        if self.unit is None:
            raise RuntimeError(
                "the facet 'length' was not fitted: expected bins from a reference. Call fit(base samples), or "
                "restore(state) of a facet that was."
            )
        names = self._bins()
        return [names[place] for place in np.searchsorted(self.edges, _lengths(samples, self.unit), side="left")]

    def state(self) -> dict[str, Any]:
        """Unit and edges."""
        return {} if self.unit is None else {"unit": self.unit, "edges": list(self.edges)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up saved bins."""
        self.unit, self.edges = (state["unit"], tuple(state["edges"])) if state else (None, ())

    def _bins(self) -> list[str]:
        starts = [0, *(edge + 1 for edge in self.edges)]
        closed = [f"{low}-{high}" if low < high else f"{low}" for low, high in zip(starts, self.edges, strict=False)]
        return [f"{each} {self.unit}" for each in (*closed, f"over {self.edges[-1]}")]


def _lengths(samples: Samples, unit: str) -> NDArray[np.int64]:
    if unit == "characters":
        return np.array([len(text) for text in samples.texts], dtype=np.int64)
    if samples.tokens is None:
        raise ValueError(
            f"step {samples.step} does not know its tokens: expected them, for the reference's lengths are in tokens. "
            "Read both from logs of one kind, or fit the facet on a reference without tokens."
        )
    return np.asarray(samples.tokens, dtype=np.int64)
