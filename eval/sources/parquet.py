"""Parquet files that may be half-written or damaged, as columns of Python values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.sources.errors import DamagedFileError
from eval.sources.message_columns import joined_contents, shared_rows

_BATCH = 2048  # rows in memory at once, beside those of one step; larger ones are no faster


def read_batches(path: Path) -> Iterator[Any]:
    """Yield the record batches of a file, without holding more of it than one.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It is no whole Parquet file.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from (batch for batch in file.iter_batches(_BATCH, use_threads=False) if len(batch))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def read_table(path: Path) -> Any:
    """A whole file as a table.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: It is no whole Parquet file.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def column_names(path: Path) -> list[str]:
    """Columns of a file, to tell its kind; none if it cannot be read."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return []


def table_columns(table: Any) -> dict[str, list[Any]]:
    """Columns of a table or batch as lists; null is None, and completions that are plain messages are their text."""
    fast = {"prompt": shared_rows, "completion": joined_contents}
    columns = {}
    for i, name in enumerate(table.schema.names):
        column = table.column(i)
        found = fast[name](column) if name in fast else None
        columns[name] = column.to_pylist() if found is None else found
    return columns


def damaged(path: Path, error: Exception) -> DamagedFileError:
    """The error for a file that cannot be read."""
    reason = " ".join(str(error).split())[:200]
    return DamagedFileError(
        f"{path} cannot be read as Parquet ({reason}): the file was cut while it was written, or is damaged. Copy it "
        "again or delete it, or leave such files out with skip_damaged=True."
    )
