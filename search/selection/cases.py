"""Lexicase selection: a parent is chosen by reward components in random order, never by one hidden scalar.

Helmuth, Spector and Matheson 2015. Per pick: shuffle the components; keep only the candidates that are best on the
first, then among those the best on the second, and so on; ties that are left are broken uniformly. Specialists are
chosen as often as the components that they win come first. A dominated candidate is never chosen.

Epsilon-lexicase (La Cava, Spector and Danai 2016; La Cava et al. 2019) keeps those within epsilon of the best, which
continuous rewards need: without it the first component nearly always decides alone. Epsilon is the median absolute
deviation (MAD) of a component:

* ``"static"``: "within epsilon of the best of ALL candidates" is a test that is passed or failed; plain lexicase
  follows on these tests. A candidate can fail them all.
* ``"semi-dynamic"``: within epsilon of the best of those still in the pool; epsilon comes from all candidates.
* ``"dynamic"``: the best and epsilon both come from those still in the pool.

Down-sampled lexicase (Hernandez et al. 2019) uses a random share of the components. Letters: N candidates, D
components.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Epsilon = Literal["none", "static", "semi-dynamic", "dynamic"]
EPSILONS: tuple[Epsilon, ...] = get_args(Epsilon)


@dataclass(frozen=True)
class Cases:
    """Rewards laid out for many picks: what depends on the candidates alone is computed once.

    Attributes:
        columns: (D, N) one contiguous row per component; tests passed or failed if epsilon is static.
        margins: (D,) how far below the pool's best a candidate may lie; None for dynamic epsilon.
    """

    columns: NDArray[np.float64]
    margins: NDArray[np.float64] | None

    @classmethod
    def of(cls, columns: NDArray[np.float64], epsilon: Epsilon = "none") -> Cases:
        """Prepare (D, N) rewards for picks with the given kind of epsilon."""
        if epsilon == "dynamic":
            return cls(columns, None)
        if epsilon == "none":
            return cls(columns, np.zeros(len(columns)))
        margins = _deviations(columns)
        if epsilon == "semi-dynamic":
            return cls(columns, margins)
        passed = columns >= (columns.max(axis=1) - margins)[:, None]
        return cls(passed.astype(np.float64), np.zeros(len(columns)))

    def pick(self, rng: random.Random, components: Sequence[int] | None = None) -> int:
        """Choose one candidate, by all components or by those given."""
        order = list(range(len(self.columns)) if components is None else components)
        rng.shuffle(order)
        alive: NDArray[np.intp] | None = None  # all: indexing by everybody would copy the whole column
        for component in order:
            column = self.columns[component] if alive is None else self.columns[component, alive]
            margin = self.margins[component] if self.margins is not None else _deviations(column[None])[0]
            kept = np.flatnonzero(column >= column.max() - margin)
            alive = kept if alive is None else alive[kept]
            if len(alive) == 1:
                break
        assert alive is not None  # there is one component at least
        return int(alive[rng.randrange(len(alive))])


def lexicase(vectors: ArrayLike, rng: random.Random, *, epsilon: Epsilon = "none", down_sample: float = 1.0) -> int:
    """Choose one candidate.

    Args:
        vectors: (N, D) finite rewards, higher is better.
        rng: Draws the order of components and breaks ties.
        epsilon: Which tolerance; see the top of this file.
        down_sample: Share of the components that this pick looks at, in (0, 1]; at least one.

    Returns:
        Index of the chosen row, in [0, N).

    Raises:
        ValueError: ``vectors`` is not a matrix with at least one row and one column, ``epsilon`` is no kind of it, or
            ``down_sample`` lies outside (0, 1].
    """
    matrix = as_matrix(vectors)
    if epsilon not in EPSILONS:
        raise ValueError(f"epsilon is {epsilon!r}, expected one of {', '.join(EPSILONS)}: 'none' keeps the best alone.")
    if not 0 < down_sample <= 1:
        raise ValueError(f"down_sample is {down_sample}, expected a share in (0, 1]: 1 looks at every component.")
    components = sample_components(matrix.shape[1], down_sample, rng)
    return Cases.of(np.ascontiguousarray(matrix.T), epsilon).pick(rng, components)


def sample_components(num: int, share: float, rng: random.Random) -> Sequence[int]:
    """Draw a share of ``num`` components, one at least; all of them, without a draw, if the share is 1."""
    return range(num) if share == 1 else sorted(rng.sample(range(num), max(1, round(share * num))))


def as_matrix(vectors: ArrayLike) -> NDArray[np.float64]:
    """Check that ``vectors`` is (N, D) with N, D >= 1.

    Raises:
        ValueError: It is not.
    """
    matrix = np.asarray(vectors, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(
            f"vectors has shape {matrix.shape}, expected (N, D) with N, D >= 1: give one reward vector per candidate."
        )
    return matrix


def _deviations(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) median absolute deviations of (D, N)."""
    return _medians(np.abs(columns - _medians(columns)[:, None]))


def _medians(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) medians of (D, N); ten thousand candidates take an eighth of the time of ``np.median``."""
    num = columns.shape[1]
    parts = np.partition(columns, num // 2, axis=1)
    upper: NDArray[np.float64] = parts[:, num // 2]
    return upper if num % 2 else (parts[:, : num // 2].max(axis=1) + upper) / 2
