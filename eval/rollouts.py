"""The rollout log as its readers see it: schema, files, pools.

One Parquet file for each generation batch and process, ``rankRRRR-stepSSSSSSSS[-I].parquet``, one row a completion:

==================  ====================  ==============================================================
``step``            int64                 optimizer steps done when the completion was generated
``epoch``           float64               passes over the dataset, fractional
``rank``            int32                 process that generated it
``prompt_id``       string                16 hex digits, the same for the same prompt in every run
``prompt``          string                text, or chat messages as JSON
``completion``      string                text, or chat messages as JSON
``answers``         list<string>          answers that exist, in order
``rewards``         list<list<double>>    one reward vector an answer
``components``      list<string>          names of a vector's entries
``set_reward``      double                score under the run's objective
``advantage``       double                what the policy gradient was weighted with
``completion_tokens``  int32              generated tokens, the end token included
``finish_reason``   string                ``stop``, or ``length`` if cut off
``num_unclosed``    int32                 opening tags without a closing one
``num_extra``       int32                 closed answers that did not count
``objective``       string                name of the objective
``metadata``        string                the row's other dataset columns, as JSON
==================  ====================  ==============================================================

Depths and residuals of a policy that halts by itself will be further columns; a reader must ignore columns it does not
know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA_VERSION = b"1"
ROLLOUT_SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.float64()),
        ("rank", pa.int32()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("rewards", pa.list_(pa.list_(pa.float64()))),
        ("components", pa.list_(pa.string())),
        ("set_reward", pa.float64()),
        ("advantage", pa.float64()),
        ("completion_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("num_unclosed", pa.int32()),
        ("num_extra", pa.int32()),
        ("objective", pa.string()),
        ("metadata", pa.string()),
    ],
    metadata={b"vpo_rollouts": SCHEMA_VERSION},
)
_FILE = re.compile(r"rank(\d+)-step(\d+)(?:-(\d+))?\.parquet")


class RolloutLogError(ValueError):
    """A rollout log that cannot be read as one."""


def rollout_files(folder: str | Path, after_step: int = -1) -> list[Path]:
    """Files of the steps after ``after_step``, by step, batch and rank; half-written ones have another name."""
    found = []
    for path in Path(folder).glob("*.parquet"):
        match = _FILE.fullmatch(path.name)
        if match and int(match[2]) > after_step:
            found.append((int(match[2]), int(match[3] or 0), int(match[1]), path))
    return [path for *_, path in sorted(found)]


def read_rollouts(folder: str | Path, after_step: int = -1) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield (step, rows) for each step that is there, in order, all processes together.

    Args:
        folder: The run's ``rollouts`` folder.
        after_step: Leave out this step and all before.

    Raises:
        RolloutLogError: A file is damaged, or lacks a column of the schema.
    """
    step, rows = -1, []
    for path in rollout_files(folder, after_step):
        match = _FILE.fullmatch(path.name)
        assert match is not None
        if int(match[2]) != step and rows:
            yield step, rows
            rows = []
        step = int(match[2])
        rows = rows + _read(path)
    if rows:
        yield step, rows


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RolloutLogError(
            f"{path} cannot be read as Parquet ({error}): the file is damaged. Files are renamed into place whole, so "
            "this is no interrupted run; delete the file, and that batch is left out."
        ) from error
    for field in ROLLOUT_SCHEMA:
        if field.name not in table.schema.names:
            raise RolloutLogError(
                f"{path} has no column '{field.name}': expected the columns of a rollout log, got "
                f"{', '.join(table.schema.names)}. Point at the `rollouts` folder of a VPO run."
            )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@dataclass(frozen=True)
class Pool:
    """All answers to one prompt at one step: C completions of at most M answers with D components."""

    prompt_id: str
    rewards: NDArray[np.float64]  # (C, M, D), zeros where there is no answer
    exists: NDArray[np.bool_]  # (C, M)
    answers: tuple[tuple[str, ...], ...]


def pools(rows: list[dict[str, Any]], num_answers: int) -> list[Pool]:
    """Group the rows of one step by prompt.

    Args:
        rows: Rows as :func:`read_rollouts` yields them.
        num_answers: M.

    Raises:
        RolloutLogError: A completion holds more than ``num_answers`` answers.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["prompt_id"], []).append(row)
    dim = max((len(row["components"]) for row in rows), default=1) or 1
    result = []
    for prompt_id, members in groups.items():
        rewards = np.zeros((len(members), num_answers, dim))
        exists = np.zeros((len(members), num_answers), dtype=bool)
        for c, row in enumerate(members):
            if len(row["rewards"]) > num_answers:
                raise RolloutLogError(
                    f"a completion of prompt {prompt_id} holds {len(row['rewards'])} answers: expected at most "
                    f"{num_answers}. Pass the num_answers the run was made with."
                )
            for m, vector in enumerate(row["rewards"]):
                rewards[c, m], exists[c, m] = vector, True
        result.append(Pool(prompt_id, rewards, exists, tuple(tuple(row["answers"]) for row in members)))
    return result
