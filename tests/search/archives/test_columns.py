import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.archives import Columns


@given(st.lists(st.one_of(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), st.integers(0, 100)), max_size=120))
def test_appends_and_removals_agree_with_a_list(steps):
    columns, rows = Columns(), []
    for step in steps:
        if isinstance(step, tuple):
            columns.append(step)
            rows.append(step)
        elif rows:
            index = step % len(rows)
            columns.swap_remove(index)
            rows[index] = rows[-1]
            rows.pop()
        assert len(columns) == len(rows)
        assert columns.values.T.tolist() == [list(row) for row in rows]


def test_one_component_lies_in_one_piece_of_memory():
    columns = Columns()
    for i in range(100):
        columns.append((i, -i))
    assert columns.values.strides[1] == np.dtype(float).itemsize
