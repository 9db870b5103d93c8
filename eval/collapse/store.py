"""A run's ``monitor`` folder: what a monitor must find again after a kill, in files that one can read.

``looks.jsonl`` and ``alarms.jsonl`` grow by a line each; ``reference.parquet`` and ``watch.json`` hold what was fixed
at the first look; ``examples.json`` the samples that were shown at alarms. A line that a kill has torn is cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eval.collapse.correctness import Correctness
from eval.collapse.counted import count
from eval.collapse.json_form import from_json, to_json
from eval.collapse.records import AlarmRecord, LookRecord, Quantity
from eval.collapse.reference import Reference
from eval.collapse.run_report import Example
from eval.samples import Facet, Samples

_TEXT_COLUMNS = ("prompt_ids", "texts", "prompts", "finish_reasons")
_NUMBER_COLUMNS = ("tokens", "depths", "entropies")
# What a file that was edited, cut, or not written here leads to, wherever it is noticed
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)


class MonitorStore:
    """The folder.

    Args:
        folder: Made when something is written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def add_look(self, record: LookRecord) -> None:
        """Append a look."""
        self._append("looks.jsonl", record)

    def add_alarm(self, record: AlarmRecord) -> None:
        """Append an alarm; before its look, so that a kill in between leaves an alarm too many and none too few."""
        self._append("alarms.jsonl", record)

    def set_examples(self, examples: Sequence[Example]) -> None:
        """Replace the examples."""
        self._replace("examples.json", json.dumps([asdict(each) for each in examples], ensure_ascii=False).encode())

    def set_reference(self, reference: Reference, facets: Sequence[Facet], settings: Mapping[str, Any]) -> None:
        """Write what was fixed at the first look.

        Args:
            reference: The reference.
            facets: Fitted.
            settings: What the monitor was made with; a resumed one must be made with the same.
        """
        content = {
            "is_first_look": reference.is_first_look,
            "correctness": None if reference.correctness is None else asdict(reference.correctness),
            "quantities": [asdict(each) for each in reference.quantities],
            "warnings": reference.warnings,
            "facets": {facet.name: facet.state() for facet in facets},
            "settings": dict(settings),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_samples(self.folder / "reference.parquet", reference.counted.samples)
        self._replace("watch.json", json.dumps(content, ensure_ascii=False).encode())  # last: with it, all is there

    def reference(self, facets: Sequence[Facet], settings: Mapping[str, Any]) -> Reference | None:
        """What was fixed at the first look; None if there was none. Restores the facets.

        Raises:
            ValueError: The folder was made with other facets or settings, or cannot be read.
        """
        path = self.folder / "watch.json"
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stored = {name: content["settings"].get(name) for name in settings}
            known = dict(content["facets"])
        except _UNREADABLE as error:
            raise self._unreadable(path, error) from error
        wanted = json.loads(json.dumps(dict(settings)))
        if changed := {name: (stored[name], wanted[name]) for name in wanted if stored[name] != wanted[name]}:
            shown = ", ".join(f"{name} was {old!r} and is {new!r}" for name, (old, new) in changed.items())
            raise ValueError(
                f"{self.folder} was begun with other settings ({shown}), and evidence must not change its rules on the "
                "way. Resume with the same ones, or name another folder."
            )
        for facet in facets:
            if facet.name not in known:
                raise ValueError(
                    f"{self.folder} was begun with the facets {sorted(known)}, without {facet.name!r}: "
                    "resume with the same ones, or name another folder."
                )
            try:
                facet.restore(known[facet.name])
            except _UNREADABLE as error:
                raise ValueError(f"{self.folder}: {error}") from error
        samples = _read_samples(self.folder / "reference.parquet")
        try:
            correctness = None if content["correctness"] is None else Correctness(**content["correctness"])
            quantities = [from_json(Quantity, json.dumps(each)) for each in content["quantities"]]
            counted = count(samples, facets, correctness)
            solved = {k: counted.solved(k) for k in counted.ks}
            return Reference(
                counted, bool(content["is_first_look"]), correctness, quantities, solved, list(content["warnings"])
            )
        except _UNREADABLE as error:
            raise self._unreadable(path, error) from error

    def looks(self) -> list[LookRecord]:
        """All looks, oldest first.

        Raises:
            ValueError: A line is no look.
        """
        return self._records("looks.jsonl", LookRecord)

    def alarms(self) -> list[AlarmRecord]:
        """Alarms of looks that are there.

        Raises:
            ValueError: A line is no alarm, or no look.
        """
        last = max((look.number for look in self.looks()), default=0)
        return [each for each in self._records("alarms.jsonl", AlarmRecord) if each.look <= last]

    def examples(self) -> list[Example]:
        """Examples of alarms.

        Raises:
            ValueError: The file holds something else.
        """
        path = self.folder / "examples.json"
        if not path.exists():
            return []
        try:
            return [from_json(Example, json.dumps(each)) for each in json.loads(path.read_bytes())]
        except _UNREADABLE as error:
            raise self._unreadable(path, error) from error

    def drop_from(self, step: int) -> None:
        """Forget looks at this step and later ones, which a resumed run makes again, and their alarms."""
        looks = [look for look in self.looks() if look.step < step]
        last = len(looks)
        alarms = [alarm for alarm in self.alarms() if alarm.look <= last]
        examples = [each for each in self.examples() if each.step < step]
        if (self.folder / "looks.jsonl").exists():
            self._replace("looks.jsonl", b"".join(to_json(each).encode() + b"\n" for each in looks))
            self._replace("alarms.jsonl", b"".join(to_json(each).encode() + b"\n" for each in alarms))
            self.set_examples(examples)
        if not looks:  # the first look set the reference, and it will be made again
            (self.folder / "watch.json").unlink(missing_ok=True)

    def _append(self, name: str, record: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        line = to_json(record).encode() + b"\n"
        with (self.folder / name).open("ab+") as file:
            if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(line)

    def _records(self, name: str, kind: Any) -> list[Any]:
        path = self.folder / name
        if not path.exists():
            return []
        *whole, _torn = path.read_bytes().split(b"\n")
        try:
            return [from_json(kind, line.decode()) for line in whole]
        except _UNREADABLE as error:
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: Path, error: Exception) -> ValueError:
        return ValueError(f"{path} cannot be read ({error!s:.200}): delete {self.folder} to begin anew.")

    def _replace(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{name}.tmp"
        temporary.write_bytes(content)
        os.replace(temporary, self.folder / name)


def _write_samples(path: Path, samples: Samples) -> None:
    columns: dict[str, Any] = {name: getattr(samples, name) for name in (*_TEXT_COLUMNS, *_NUMBER_COLUMNS)}
    columns = {name: list(column) for name, column in columns.items() if column is not None}
    columns["completions"] = samples.completions
    if samples.rows is not None:
        columns["rows"] = [json.dumps(dict(row), default=str) for row in samples.rows]
    table = pa.table(columns | {f"reward/{i}": samples.rewards[:, i] for i in range(len(samples.components))})
    facts = {
        "step": samples.step,
        "epoch": samples.epoch,
        "components": samples.components,
        "sampling": dict(samples.sampling),
    }
    temporary = path.with_suffix(".tmp")
    pq.write_table(table.replace_schema_metadata({"samples": json.dumps(facts, default=str)}), temporary)
    os.replace(temporary, path)


def _read_samples(path: Path) -> Samples:
    try:
        return _samples(pq.read_table(path))
    except (pa.ArrowException, OSError, *_UNREADABLE) as error:
        raise ValueError(f"{path} cannot be read ({error!s:.200}): delete its folder to begin anew.") from error


def _samples(table: Any) -> Samples:
    facts = json.loads(table.schema.metadata[b"samples"])
    names = {each.name for each in fields(Samples)}
    columns: dict[str, Any] = {n: table[n].to_pylist() for n in table.column_names if n in names & {*_TEXT_COLUMNS}}
    columns |= {
        name: table[name].to_numpy() for name in (*_NUMBER_COLUMNS, "completions") if name in table.column_names
    }
    if "rows" in table.column_names:
        columns["rows"] = [json.loads(row) for row in table["rows"].to_pylist()]
    rewards = [table[f"reward/{i}"].to_numpy() for i in range(len(facts["components"]))]
    stacked = np.stack(rewards, axis=1) if rewards else np.zeros((table.num_rows, 0))
    return Samples(
        step=facts["step"],
        epoch=facts["epoch"],
        components=tuple(facts["components"]),
        sampling=facts["sampling"],
        rewards=stacked,
        **columns,
    )
