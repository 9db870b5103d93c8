"""The gate through which arrays come out of a sandbox: a result is a finite array of the right form, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def as_finite_array(value: Any, shape: Sequence[int | None], dtype: Any = "float64") -> np.ndarray:
    """Copy a result into a fresh array.

    Args:
        value: A :attr:`vpo.sandbox.Result.value`: numbers in lists that nest as the shape does.
        shape: Length of each dimension; None where any length is allowed. An empty array is refused where its length is
            not asked for.
        dtype: Float, integer or bool type of the array. Numbers must fit: no fraction is cut off, and true is not 1.

    Returns:
        A plain, writable ndarray of that type.

    Raises:
        ValueError: It is not numbers only, not of that shape, empty, or not finite.
    """
    import numpy as np

    wanted = np.dtype(dtype)
    kinds = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}.get(wanted.kind)
    if kinds is None:
        raise ValueError(f"dtype is {wanted}: expected a float, integer or bool type.")
    form = tuple("any" if length is None else length for length in shape)
    expected = f"expected {wanted} numbers of shape {form}"
    if _holds_bool(value) and wanted.kind != "b":
        raise ValueError(f"the result holds true or false: {expected}.")
    try:
        found = np.array(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"the result is no array ({error}): {expected}.") from error
    fits = found.ndim == len(form) and all(want in ("any", have) for want, have in zip(form, found.shape, strict=True))
    if not fits or (found.size == 0 and 0 not in form):
        raise ValueError(f"the result has shape {found.shape}: {expected}.")
    if found.size and found.dtype.kind not in kinds:
        raise ValueError(f"the result holds {found.dtype}: {expected}.")
    copy = np.empty(found.shape, wanted)
    with np.errstate(over="ignore"):
        copy[...] = found
    if found.size and (not np.isfinite(copy).all() or (wanted.kind in "iu" and not (copy == found).all())):
        raise ValueError(f"the result holds numbers that are not finite or do not fit: {expected}.")
    return copy


def _holds_bool(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_bool, value))
    return isinstance(value, bool)
