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
``rewards``         list<list<double>>    one reward vector an answer; null for a component that does not apply
``components``      list<string>          names of a vector's entries
``set_reward``      double                score under the run's objective
``advantage``       double                what the policy gradient was weighted with
``completion_tokens``  int32              generated tokens, the end token included
``finish_reason``   string                ``stop``, or ``length`` if cut off
``num_unclosed``    int32                 opening tags without a closing one
``num_extra``       int32                 closed answers that did not count
``objective``       string                name of the objective
``metadata``        string                the row's other dataset columns, as JSON
``depths``          list<int16>           loops spent on each completion token; empty if the policy has no loop
``residuals``       list<float>           relative change of the state in the last of those loops
==================  ====================  ==============================================================

A reader must ignore columns it does not know. Logs from before the last two columns are read as if these were empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
        ("depths", pa.list_(pa.int16())),
        ("residuals", pa.list_(pa.float32())),
    ],
    metadata={b"vpo_rollouts": SCHEMA_VERSION},
)
_LATER_COLUMNS = ("depths", "residuals")  # not in the first logs
_FILE = re.compile(r"rank(\d+)-step(\d+)(?:-(\d+))?\.parquet")


class RolloutLogError(ValueError):
    """A rollout log that cannot be read as one."""


class RolloutName(NamedTuple):
    """What the name of a file of the log says; they sort as the log is read."""

    step: int
    batch: int
    rank: int


def rollout_name(path: Path) -> RolloutName | None:
    """Step, batch and process of a file, None if it is none of the log; half-written ones have another name."""
    match = _FILE.fullmatch(path.name)
    return match and RolloutName(int(match[2]), int(match[3] or 0), int(match[1]))


def files_by_step(folder: str | Path, after_step: int = -1) -> dict[int, list[Path]]:
    """Files of each step after ``after_step``, ascending; those of a step by batch and rank."""
    named = [(name, path) for path in Path(folder).glob("*.parquet") if (name := rollout_name(path))]
    found: dict[int, list[Path]] = {}
    for name, path in sorted(named):
        if name.step > after_step:
            found.setdefault(name.step, []).append(path)
    return found


def rollout_files(folder: str | Path, after_step: int = -1) -> list[Path]:
    """Files of the steps after ``after_step``, by step, batch and rank."""
    return [path for paths in files_by_step(folder, after_step).values() for path in paths]


def read_rollouts(folder: str | Path, after_step: int = -1) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield (step, rows) for each step that is there, in order, all processes together.

    Args:
        folder: The run's ``rollouts`` folder. It may be growing: files appear whole.
        after_step: Leave out this step and all before.

    Raises:
        FileNotFoundError: There is no such folder.
        RolloutLogError: A file is damaged, comes from a newer version, or does not have the schema's columns.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f"there is no rollout log at {folder}: expected the `rollouts` folder in a run's output_dir. Check that "
            "the run trains with VPOTrainer and log_rollouts=True, and that the monitor's run_dir is its output_dir."
        )
    for step, paths in files_by_step(folder, after_step).items():
        if rows := [row for path in paths for row in read_rollout_file(path)]:
            yield step, rows


def read_rollout_file(path: Path) -> list[dict[str, Any]]:
    """Rows of one file of the log; none if a resumed run has just deleted it, to generate its step anew.

    Raises:
        RolloutLogError: As :func:`read_rollouts`.
    """
    table = read_rollout_table(path)
    rows: list[dict[str, Any]] = [] if table is None else table.select(ROLLOUT_SCHEMA.names).to_pylist()
    return rows


def read_rollout_table(path: Path) -> pa.Table | None:
    """One file of the log as a table with the schema's columns, and later ones; None if it has just been deleted.

    Raises:
        RolloutLogError: As :func:`read_rollouts`.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        raise RolloutLogError(
            f"{path} cannot be read as Parquet ({error}): the file is damaged. Files are renamed into place whole, so "
            "this is no interrupted run; delete the file, and that batch is left out."
        ) from error
    version = (table.schema.metadata or {}).get(b"vpo_rollouts", SCHEMA_VERSION)
    if not version.isdigit() or int(version) > int(SCHEMA_VERSION):
        raise RolloutLogError(
            f"{path} has schema version {version.decode(errors='replace')}: expected {SCHEMA_VERSION.decode()} at "
            "most. Read it with the version of vpo that wrote it."
        )
    for name in _LATER_COLUMNS:
        if name not in table.schema.names:
            field = ROLLOUT_SCHEMA.field(name)
            table = table.append_column(field, pa.array([[]] * len(table), type=field.type))
    for field in ROLLOUT_SCHEMA:
        _check_column(table, field, path)
    answers, vectors = (pc.list_value_length(table[name]) for name in ("answers", "rewards"))
    if not pc.all(pc.equal(answers, vectors), min_count=0).as_py():
        raise RolloutLogError(
            f"{path}, columns 'answers' and 'rewards': a row has not as many of one as of the other, expected one "
            "reward vector an answer. It was not written by RolloutLog, or edited; delete the file."
        )
    return table


def dataset_row(metadata: str) -> dict[str, Any]:
    """The other columns of a sample's dataset row, from the log's ``metadata``.

    Raises:
        RolloutLogError: It is no JSON object.
    """
    try:
        columns = json.loads(metadata)
    except (ValueError, RecursionError):
        columns = None
    if not isinstance(columns, dict):
        raise RolloutLogError(
            f"'metadata' is {metadata[:60]!r}, expected a JSON object with the other columns of the dataset row. Write "
            "'{}' where there are none."
        )
    return columns


def _check_column(table: pa.Table, field: pa.Field, path: Path) -> None:
    if field.name not in table.schema.names:
        raise RolloutLogError(
            f"{path} has no column '{field.name}': expected the columns of a rollout log, got "
            f"{', '.join(table.schema.names)}. Point at the `rollouts` folder of a VPO run."
        )
    column = table[field.name]
    if column.type != field.type:
        raise RolloutLogError(
            f"{path}, column '{field.name}' is {column.type}: expected {field.type}. Write it with ROLLOUT_SCHEMA."
        )
    num_missing = column.null_count
    while pa.types.is_list(column.type):
        column = pc.list_flatten(column)
        if not (field.name == "rewards" and pa.types.is_floating(column.type)):  # null: does not apply
            num_missing += column.null_count
    if num_missing:
        raise RolloutLogError(
            f"{path}, column '{field.name}' lacks {num_missing} of its values: expected all of them. Write an empty "
            "list or text for nothing."
        )


@dataclass(frozen=True)
class Pool:
    """All answers to one prompt at one step: C completions of at most M answers with D components."""

    prompt_id: str
    rewards: NDArray[np.float64]  # (C, M, D), zeros where there is no answer or a component does not apply
    exists: NDArray[np.bool_]  # (C, M)
    has: NDArray[np.bool_]  # (D,) components that apply to one answer at least; all of them where there is no answer
    answers: tuple[tuple[str, ...], ...]


def pools(rows: list[dict[str, Any]], num_answers: int, num_components: int | None = None) -> list[Pool]:
    """Group the rows of one step by prompt, whichever process generated them.

    A prompt that stands twice in a step's batch gives one pool with all its completions.

    Args:
        rows: Rows as :func:`read_rollouts` yields them.
        num_answers: M.
        num_components: D; None takes it from the rows, which know it as soon as one answer of the run could be read.

    Raises:
        RolloutLogError: A completion holds more than M answers, or a reward vector does not have D entries.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["prompt_id"], []).append(row)
    dim = num_components or max((len(row["components"]) for row in rows), default=1) or 1
    result = []
    for prompt_id, members in groups.items():
        rewards = np.zeros((len(members), num_answers, dim))
        exists = np.zeros((len(members), num_answers), dtype=bool)
        has = np.zeros(dim, dtype=bool)
        for c, row in enumerate(members):
            if len(row["rewards"]) > num_answers:
                raise RolloutLogError(
                    f"a completion of prompt {prompt_id} holds {len(row['rewards'])} answers: expected at most "
                    f"{num_answers}. Pass the num_answers the run was made with."
                )
            for m, vector in enumerate(row["rewards"]):
                if len(vector) != dim:
                    raise RolloutLogError(
                        f"a reward vector of prompt {prompt_id} has {len(vector)} entries: expected {dim}, one a "
                        "component. Look at the runs of different tasks apart."
                    )
                rewards[c, m], exists[c, m] = [0.0 if value is None else value for value in vector], True
                has |= [value is not None for value in vector]
        has |= not has.any()
        result.append(Pool(prompt_id, rewards, exists, has, tuple(tuple(row["answers"]) for row in members)))
    return result
