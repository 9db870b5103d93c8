"""Step functions with exact integrals: heights become whole multiples of a small unit, and all sums are exact.

A step function with heights that are rounded is a step function too, so its value bounds the constant in question as
rigorously as any; nothing has to be tolerated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpo.sandbox import as_finite_array

UNIT_BITS = 40  # heights are rounded to 2^-40 of the largest: 1e-12, which moves no digit that was ever reported
UNITS = 1 << UNIT_BITS


def whole_heights(value: Any, num: int, largest: float | None = None) -> list[int]:
    """Heights in units of 2^-40 of ``largest``; their own largest by default.

    Raises:
        ValueError: They are not ``num`` finite numbers of at least 0, one of them above.
    """
    heights = as_finite_array(value, (num,))
    top = float(heights.max()) if largest is None else largest
    if (heights < 0).any() or top <= 0:
        raise ValueError("expected heights of at least 0, and one of them above")
    return [round(float(height / top) * UNITS) for height in heights]


def convolution(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Sums over i of first[i] * second[k - i] for each k, exactly: two large integers multiplied.

    Args:
        first: Whole numbers of at least 0.
        second: The same.

    Returns:
        len(first) + len(second) - 1 sums.
    """
    length = len(first) + len(second) - 1
    bits = max(first).bit_length() + max(second).bit_length() + min(len(first), len(second)).bit_length()
    width = bits // 8 + 1
    a, b = (int.from_bytes(b"".join(each.to_bytes(width, "little") for each in x), "little") for x in (first, second))
    product = (a * b).to_bytes(width * (length + 1), "little")
    return [int.from_bytes(product[k * width : (k + 1) * width], "little") for k in range(length)]
