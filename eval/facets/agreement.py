"""How far two labellings of the same samples agree, corrected for what chance alone gives.

The adjusted Rand index (Hubert and Arabie, 1985) counts pairs; adjusted mutual information (Vinh, Epps and Bailey,
2010, mean of the two entropies below) measures what one label says of the other. Both are 1 for the same partition,
whatever the names, and 0 on average for labels drawn independently with the same shares; they can be a little negative.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]


def agreement(labels_a: Sequence[Hashable], labels_b: Sequence[Hashable]) -> float:
    """Adjusted Rand index.

    Args:
        labels_a: N labels.
        labels_b: N labels of the same samples.

    Returns:
        At most 1. 1 if both are the same partition, also where that is one class or N classes; NaN without samples.

    Raises:
        ValueError: The lengths differ.
    """
    table = _table(labels_a, labels_b)
    if table.size == 0:
        return float("nan")
    together, in_a, in_b = (
        _pairs(table).sum(),
        _pairs(table.sum(axis=1)).sum(),
        _pairs(table.sum(axis=0)).sum(),
    )
    all_pairs = _pairs(table.sum())
    expected = in_a * in_b / all_pairs if all_pairs else 0.0
    most = (in_a + in_b) / 2
    if most == expected:
        return 1.0  # both are one class, or both are N classes
    return float((together - expected) / (most - expected))


def adjusted_information(labels: Sequence[Hashable], prompt_ids: Sequence[Hashable]) -> float:
    """Adjusted mutual information: what a label says of the prompt beyond chance.

    Args:
        labels: N labels.
        prompt_ids: N prompts, or any other labels.

    Returns:
        At most 1. 0 where one side has one class only and the other has more: it says nothing. NaN without samples.

    Raises:
        ValueError: The lengths differ.
    """
    table = _table(labels, prompt_ids)
    if table.size == 0:
        return float("nan")
    count = table.sum()
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    if len(rows) == len(columns) and len(rows) in (1, count):
        return 1.0  # the same partition, where expectation and maximum fall together
    if 1 in (len(rows), len(columns)):
        return 0.0
    shares = table[table > 0] / count
    outer = np.outer(rows, columns)[table > 0] / count**2
    information = float((shares * np.log(shares / outer)).sum())
    expected = _expected_information(rows, columns)
    mean_entropy = (_entropy(rows / count) + _entropy(columns / count)) / 2
    gap = mean_entropy - expected
    if abs(gap) < 1e-12:
        return 0.0
    return float((information - expected) / gap)


def _table(labels_a: Sequence[Hashable], labels_b: Sequence[Hashable]) -> Array:
    """(A, B) samples with each pair of labels."""
    if len(labels_a) != len(labels_b):
        raise ValueError(
            f"there are {len(labels_a)} and {len(labels_b)} labels: expected one of each for every sample. Label the "
            "same samples twice, in the same order."
        )
    names_a, names_b = ({name: i for i, name in enumerate(dict.fromkeys(each))} for each in (labels_a, labels_b))
    table = np.zeros((len(names_a), len(names_b)))
    np.add.at(table, ([names_a[each] for each in labels_a], [names_b[each] for each in labels_b]), 1)
    return table


def _pairs(counts: Array) -> Array:
    return counts * (counts - 1) / 2


def _entropy(shares: Array) -> float:
    return float(-(shares * np.log(shares)).sum())


def _expected_information(rows: Array, columns: Array) -> float:
    """Mean mutual information of two labellings with these class sizes, over all pairings (hypergeometric)."""
    count = rows.sum()
    total = 0.0
    sizes_b, times = np.unique(columns, return_counts=True)  # classes of one size have one expectation
    for size_a, times_a in zip(*np.unique(rows, return_counts=True), strict=True):
        for size_b, times_b in zip(sizes_b, times, strict=True):
            both = np.arange(max(1, size_a + size_b - count), min(size_a, size_b) + 1)
            log_chance = (
                _log_choose(size_b, both) + _log_choose(count - size_b, size_a - both) - _log_choose(count, size_a)
            )
            terms = both / count * np.log(count * both / (size_a * size_b)) * np.exp(log_chance)
            total += float(terms.sum()) * int(times_a) * int(times_b)
    return total


def _log_choose(number: Array, chosen: Array) -> Array:
    return np.asarray(gammaln(number + 1) - gammaln(chosen + 1) - gammaln(number - chosen + 1))
