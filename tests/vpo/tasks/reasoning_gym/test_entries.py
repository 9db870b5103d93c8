"""Entries of reasoning-gym on their way through a row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpo.tasks.reasoning_gym.entries import pack, unpack

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_an_entry_survives_its_row(value):
    found = unpack(pack(value))
    assert found == value and type(found) is type(value)


def test_what_numpy_made_travels_as_pythons_own_and_what_cannot_is_named():
    assert unpack(pack({"a": np.int64(3), "b": np.array([[1, 2]]), "c": np.str_("x"), "d": {1}})) == {
        "a": 3, "b": [[1, 2]], "c": "x", "d": {1},
    }  # fmt: skip
    with pytest.raises(ValueError, match="an entry holds object: expected numbers, texts and collections"):
        pack({"a": object()})
