"""Reward columns of one step as a matrix, and which columns they are; a value that is no number is named by its row.

Booleans count 0 and 1. Null and NaN both mean that a component does not apply or is not known. Infinity is refused: no
mean survives it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.sources.errors import SourceError

Place = Callable[[int], str]  # where the i-th sample of a step stands, for messages


def reward_matrix(columns: Mapping[str, Sequence[Any]], num: int, place: Place) -> NDArray[np.float64]:
    """(N, D) rewards.

    Args:
        columns: D columns of N values, in order.
        num: N, for a log without rewards.
        place: Where the i-th value was read.

    Raises:
        SourceError: A value is no finite number.
    """
    matrix = np.empty((num, len(columns)))
    for d, (name, values) in enumerate(columns.items()):
        matrix[:, d] = number_column(name, values, place)
    return matrix


def number_column(name: str, values: Sequence[Any], place: Place) -> NDArray[np.float64]:
    """(N,) numbers; NaN for null.

    Raises:
        SourceError: A value is no finite number.
    """
    kinds = set(map(type, values))
    column: NDArray[np.float64] | None = None
    try:
        if kinds <= {float, int, bool}:
            column = np.array(values, dtype=np.float64)
        elif kinds <= {float, int, bool, type(None)}:
            column = np.array([math.nan if value is None else float(value) for value in values])
    except OverflowError:  # an integer beyond any float
        column = None
    if column is None or np.isinf(column).any():
        i = next(i for i, value in enumerate(values) if not _is_number(value))
        raise SourceError(
            f"{place(i)}: '{name}' is {values[i]!r:.60}, expected a finite number, true, false, or null where it does "
            "not apply. Correct the line, or name the columns that are rewards with components=."
        )
    return column


def numeric_names(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Columns that hold numbers, and nothing but numbers and nulls."""
    names = []
    for name, values in columns.items():
        kinds = set(map(type, values)) - {type(None)}
        if kinds and kinds <= {float, int, bool}:
            names.append(name)
    return names


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    try:
        return type(value) in (float, int, bool) and not math.isinf(float(value))
    except OverflowError:
        return False
