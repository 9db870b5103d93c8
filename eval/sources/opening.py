"""Which kind of log lies at a path, found from what is there: names of files, then the keys of the first record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from eval.rollouts import rollout_files
from eval.samples import Samples, merge
from eval.sources.errors import SourceError
from eval.sources.generic import JsonLines, ParquetTable, is_generic
from eval.sources.lines import first_record
from eval.sources.openrlhf import OpenRLHFSamples, is_openrlhf
from eval.sources.parquet import column_names
from eval.sources.rollout_log import RolloutLogSource
from eval.sources.sampling import sampling_change
from eval.sources.source import Source
from eval.sources.trl_completions import TRLCompletions, completion_files, is_trl
from eval.sources.verl import VerlRollouts, is_verl

KINDS: dict[str, type[Source]] = {
    "vpo": RolloutLogSource,
    "trl": TRLCompletions,
    "verl": VerlRollouts,
    "openrlhf": OpenRLHFSamples,
    "jsonl": JsonLines,
    "parquet": ParquetTable,
}
"""Kinds of logs by the name that ``kind=`` takes."""

_LOOKED_FOR = (
    "a run's folder with rollouts/ (VPO) or completions/ (TRL) in it, either of these, a folder of {step}.jsonl (verl) "
    "or of .jsonl files with input and output (OpenRLHF), or a .jsonl, .jsonl.gz or .parquet file with prompt and "
    "completion"
)


def open_source(
    path: str | Path, kind: str | None = None, skip_damaged: bool = False, components: Sequence[str] | None = None
) -> Source:
    """The log at a path.

    Args:
        path: A run's folder, a folder of dumps, or a file.
        kind: One of :data:`KINDS`, for a log whose kind cannot be told, or that is not there yet; None finds it.
        skip_damaged: Leave out what cannot be read, with a warning.
        components: Names of the columns that are rewards; None takes all that can be.

    Raises:
        FileNotFoundError: There is nothing at ``path``, and no kind was given.
        SourceError: No kind fits what is there; the message lists what was looked for.
        ValueError: There is no such kind.
    """
    path = Path(path)
    if kind is not None and kind not in KINDS:
        raise ValueError(f"there is no kind of log {kind!r}: expected one of {', '.join(KINDS)}, or None to find it.")
    if kind is None and not path.exists():
        raise FileNotFoundError(
            f"there is nothing at {path}: expected {_LOOKED_FOR}. Check the path; for a log that is still to come, "
            "name its kind with kind= (--kind of `vpo monitor`)."
        )
    found = KINDS[kind] if kind is not None else _kind_of_file(path) if path.is_file() else _kind_of_folder(path)
    if found is None:
        within = _runs_within(path)
        cure = (
            f"There are runs in it, name one: {', '.join(within)}." if within else "If it is one, name it with kind=."
        )
        raise SourceError(f"{path} holds {_content(path)}: expected {_LOOKED_FOR}. {cure}")
    inner = _inner(path, found)
    if found in (JsonLines, ParquetTable) and inner.is_dir():
        raise SourceError(f"{inner} is a folder: expected one file of the kind {kind!r}. Name the file.")
    if found is RolloutLogSource and inner.is_file():
        raise SourceError(f"{inner} is a file: expected the folder of a rollout log. Name the folder.")
    return found(inner, skip_damaged, components)


def read_base(
    path: str | Path, kind: str | None = None, skip_damaged: bool = False, components: Sequence[str] | None = None
) -> Samples:
    """The base model's samples, from a log of any kind: all of its steps as one, of step 0.

    Args:
        path: As in :func:`open_source`.
        kind: As there.
        skip_damaged: As there.
        components: As there; those of the run.

    Raises:
        FileNotFoundError: There is nothing at ``path``.
        SourceError: It is no log, is empty, or how samples were drawn changes in the middle.
    """
    steps = list(open_source(path, kind, skip_damaged, components).read())
    if not sum(map(len, steps)):
        raise SourceError(f"{path} holds no samples: expected those of the base model. Sample it on the run's prompts.")
    for one, other in pairwise(steps):
        if change := sampling_change(one, other):
            raise SourceError(f"{path}: {change} Expected samples drawn in one way: keep those of one setting only.")
    return _merged(steps)


def _merged(steps: Sequence[Samples]) -> Samples:
    # A step without rewards precedes those with: they are not known, which is not the same as 0.
    components = steps[-1].components
    known = [
        each
        if each.components == components
        else dataclasses.replace(each, components=components, rewards=np.full((len(each), len(components)), np.nan))
        for each in steps
    ]
    sampling = {name: value for each in steps for name, value in each.sampling.items()}
    return dataclasses.replace(merge(known), step=0, epoch=None, sampling=sampling)


def _kind_of_folder(path: Path) -> type[Source] | None:
    for folder in (path, path / "rollouts"):
        if rollout_files(folder):
            return RolloutLogSource
    for folder in (path, path / "completions"):
        if folder.is_dir() and completion_files(folder):
            return TRLCompletions
    for file in sorted(path.glob("*.jsonl*")):
        found = _kind_of_file(file)
        if found in (VerlRollouts, OpenRLHFSamples):
            return found
    # A run that has only begun: its folder is there, its first step is not.
    begun: tuple[tuple[str, type[Source]], ...] = (("rollouts", RolloutLogSource), ("completions", TRLCompletions))
    return next((kind for name, kind in begun if _is_empty_folder(path / name)), None)


def _runs_within(path: Path, most: int = 6) -> list[str]:
    """Folders of runs one or two levels below, as a demo or a comparison keeps them."""
    if not path.is_dir():
        return []
    found = [
        log.parent for name in ("rollouts", "completions") for deep in ("*/", "*/*/") for log in path.glob(deep + name)
    ]
    named = sorted({str(run) for run in found})
    return [*named[:most], "..."] if len(named) > most else named


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _kind_of_file(path: Path) -> type[Source] | None:
    if path.suffix == ".parquet":
        keys = column_names(path)
        return TRLCompletions if is_trl(keys) and completion_files(path) else ParquetTable if _fits(keys) else None
    if not path.name.endswith((".jsonl", ".jsonl.gz", ".ndjson")):
        return None
    record = first_record(path) or {}
    return next((kind for kind, fits in _BY_KEYS if fits(record)), None)


def _fits(keys: Sequence[str]) -> bool:
    return is_generic(keys) or not keys  # a file that cannot be read is named as damaged when it is


_BY_KEYS = ((VerlRollouts, is_verl), (OpenRLHFSamples, is_openrlhf), (JsonLines, is_generic))


def _inner(path: Path, kind: type[Source]) -> Path:
    """The folder that holds the log, of a run's folder."""
    inner = {RolloutLogSource: "rollouts", TRLCompletions: "completions"}.get(kind)
    is_run = inner is not None and path.name != inner and not path.is_file()
    if (
        is_run
        and inner is not None
        and ((path / inner).is_dir() or not path.is_dir() or not any(path.glob("*.parquet")))
    ):
        return path / inner
    return path


def _content(path: Path) -> str:
    if path.is_file():
        keys = column_names(path) if path.suffix == ".parquet" else list(first_record(path) or ())
        return f"records with {', '.join(keys)}" if keys else "no record that could be read"
    names = sorted(each.name for each in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "nothing"
