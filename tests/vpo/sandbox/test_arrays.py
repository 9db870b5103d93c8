"""What becomes an array and what is refused; the list is of what has fooled evaluators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vpo.sandbox import Job, Sandbox, as_finite_array


@given(array=arrays.arrays(np.float64, arrays.array_shapes(max_dims=3), elements=st.floats(-1e300, 1e300)))
def test_an_array_comes_back_from_its_lists(array: np.ndarray) -> None:
    back = as_finite_array(array.tolist(), array.shape)
    np.testing.assert_array_equal(back, array)
    assert type(back) is np.ndarray and back.dtype == np.float64 and back.flags.writeable


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [
        ([[1, 2], [3, 4]], (None, 2), "float64"),
        ([1, 2], (2,), "int64"),
        ([True, False], (2,), "bool"),
        (3, (), "float32"),
        ([], (0,), "float64"),
        ([[], []], (2, 0), "float64"),
        ([255], (1,), "uint8"),
    ],
)
def test_what_fits_is_copied(value: Any, shape: tuple[int | None, ...], dtype: str) -> None:
    array = as_finite_array(value, shape, dtype)
    assert array.tolist() == value and array.dtype == dtype


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [
        ([1.0, float("nan")], (2,), "float64"),
        ([float("inf")], (1,), "float64"),
        ([1e300], (1,), "float32"),
        ([[1, 2], [3]], (2, 2), "float64"),
        ([1, 2, 3], (2,), "float64"),
        ([[1, 2]], (2,), "float64"),
        (1, (1,), "float64"),
        ([], (None,), "float64"),
        ([], (3,), "float64"),
        ([[]], (None, None), "float64"),
        ([True, 1.0], (2,), "float64"),
        ([True], (1,), "int64"),
        ([0, 1], (2,), "bool"),
        (["1"], (1,), "float64"),
        ([None], (1,), "float64"),
        (None, (), "float64"),
        ({"a": 1}, (1,), "float64"),
        ("12", (2,), "float64"),
        ([1.5], (1,), "int64"),
        ([1.0], (1,), "int64"),
        ([256], (1,), "uint8"),
        ([-1], (1,), "uint8"),
        ([10**30], (1,), "int64"),
        ([1j], (1,), "float64"),
    ],
)
def test_what_does_not_fit_is_refused(value: Any, shape: tuple[int | None, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        as_finite_array(value, shape, dtype)


def test_a_type_that_numbers_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a float, integer or bool type"):
        as_finite_array([1], (1,), "complex128")


def test_an_array_of_a_candidate_arrives(box: Sandbox) -> None:
    code = "import numpy\nclass Sub(numpy.ndarray):\n    def __array__(self, *a, **k): return numpy.zeros(9)\n"
    code += "def f(): return numpy.arange(6.0).reshape(3, 2).view(Sub)"
    (result,) = box.run(Job(code, [[]], "f"))
    np.testing.assert_array_equal(as_finite_array(result.value, (None, 2)), [[0, 1], [2, 3], [4, 5]])
