"""Chat messages in Parquet, without a Python object for each of them: what logs of TRL mostly hold, read faster.

Only plain messages, whose fields are all texts, are taken up; None says that a column needs the slow way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def joined_contents(column: Any) -> list[str] | None:
    """What each row's messages say, one below the other, as :func:`eval.sources.texts.completion_text` has it."""
    messages, offsets = _messages(column)
    if messages is None or not {field.name for field in messages.type} <= {"role", "content"}:
        return None
    if messages.type.get_field_index("content") < 0:
        return None
    contents = messages.field("content")
    if contents.null_count or pc.min(pc.binary_length(contents)).as_py() in (0, None):
        return None
    texts: list[str] = pc.binary_join(pa.ListArray.from_arrays(offsets, contents), "\n").to_pylist()
    return texts


def shared_rows(column: Any) -> list[Any] | None:
    """Each row's messages, rows that are the same being one object: a group's prompt is made once."""
    messages, offsets = _messages(column)
    if messages is None:
        return None
    parts = [pc.fill_null(messages.field(i), "\0") for i in range(messages.type.num_fields)]
    keys = pc.binary_join(
        pa.ListArray.from_arrays(offsets, pc.binary_join_element_wise(*parts, "\x1f")), "\x1e"
    ).to_pylist()
    first: dict[str, int] = {}
    places = [first.setdefault(key, i) for i, key in enumerate(keys)]
    made = dict(zip(first.values(), column.take(pa.array(list(first.values()))).to_pylist(), strict=True))
    return [made[place] for place in places]


def _messages(column: Any) -> tuple[Any, Any]:
    """All messages as a struct array, and where each row's begin; None if they are not plain."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or column.null_count or len(column) == 0:
        return None, None
    if not pa.types.is_struct(kind.value_type) or kind.value_type.num_fields == 0:
        return None, None
    if not all(pa.types.is_string(field.type) for field in kind.value_type):
        return None, None
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    messages = whole.flatten()
    if messages.null_count or len(messages) == 0:
        return None, None
    lengths = pc.list_value_length(whole).to_numpy(zero_copy_only=False)
    return messages, pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
