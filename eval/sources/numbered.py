"""A folder with one JSONL file for each step, its number in the name: how verl and OpenRLHF write samples down.

Both call prompts ``input`` and completions ``output``.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from eval.samples import Samples
from eval.sources.columns import Names, samples_from_columns
from eval.sources.errors import SourceError
from eval.sources.generic import chosen_components, step_number
from eval.sources.lines import Line, columns_of, read_lines
from eval.sources.rewards import Place, numeric_names
from eval.sources.source import Cursor, Source

_LOOKED_AHEAD = 8  # files, to learn what a column of nulls holds


class NumberedDumps(Source):
    """What kinds with one file a step have in common.

    A single file may have any name: its step is what its lines say, else the number in its name, else 0.
    """

    pattern: re.Pattern[str]  # of a file's name; group 1 is the step

    @abstractmethod
    def _components(self, columns: dict[str, list[Any]], place: Place) -> list[str]:
        """Which columns are rewards.

        Raises:
            SourceError: The columns are not those of this kind.
        """

    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        if not final and not self.path.exists():
            return
        files = self._files()
        for i, (step, path) in enumerate(files):
            if i + 1 == len(files) and not final:
                return  # written in place: whole for certain once a later one is there
            if step is not None and step <= after_step:
                continue
            try:
                lines = list(read_lines(path, self))
            except FileNotFoundError:
                continue
            if not lines:
                self.warn(f"{path} holds no samples: left out.")
                continue
            later = [other for _, other in files[i + 1 : len(files) if final else -1]]
            samples = self._samples(step, path, lines, cursor, later)
            if samples.step > after_step:
                yield samples

    def _files(self) -> list[tuple[int | None, Path]]:
        """(step, file) by step; None for a single file, whose lines say."""
        if not self.path.exists():
            raise FileNotFoundError(
                f"there is nothing at {self.path}: expected a folder of .jsonl files, or one of them. Check the path."
            )
        if self.path.is_file():
            return [(None, self.path)]
        found = sorted((step, path) for path in self.path.iterdir() if (step := self._step_of(path)) is not None)
        for (step, one), (other_step, other) in pairwise(found):
            if step == other_step:
                raise SourceError(
                    f"{one} and {other.name} are both of step {step}: expected one file a step, with its number in the "
                    "name. Join the two, or move what is no rollout dump elsewhere."
                )
        return list(found)

    def _step_of(self, path: Path) -> int | None:
        """The step that a file's name says; None for no file of this kind."""
        match = self.pattern.fullmatch(path.name)
        return match and int(match[1])

    def _samples(
        self, step: int | None, path: Path, lines: Sequence[Line], cursor: Cursor, later: Sequence[Path]
    ) -> Samples:
        def place(i: int) -> str:
            return f"{path}, line {lines[i].number}"

        columns = columns_of([line.record for line in lines])
        if step is None:
            said = columns.get("step", [None])[0]
            step = (self._step_of(path) or 0) if said is None else step_number(said, place(0))
        for i, said in enumerate(columns.get("step", ())):
            if said is not None and said != step:
                raise SourceError(
                    f"{place(i)} is of step {said!r:.60}, expected {step} throughout the file, as in its name. Give "
                    "the file the name that it was written under."
                )
        if self.components is not None:
            names = chosen_components(self.components, columns, place)
        elif not cursor.components:
            told = self._told(columns, later)
            names = cursor.components = self._components(told, place)
            cursor.nulls = frozenset(_null_names(told))
        else:
            names = self._steady(cursor.components, cursor.nulls, self._components(columns, place), columns, path)
        # Numbers that are no component say something of success all the same: no label may see them.
        kinds = Names("input", "output", frozenset(numeric_names(columns)))
        return samples_from_columns(step, columns, kinds, names, place)

    def _told(self, columns: Mapping[str, list[Any]], later: Sequence[Path]) -> dict[str, list[Any]]:
        """The columns; those of nulls as one of the next files has them, which tells what kind they are of."""
        told = dict(columns)
        for path in later[:_LOOKED_AHEAD]:
            if not (nulls := _null_names(told)):
                break
            try:
                found = columns_of([line.record for line in read_lines(path, self)])
            except (SourceError, FileNotFoundError):
                break  # named when its turn comes
            told.update({name: found[name] for name in nulls & found.keys()})
        return told

    def _steady(
        self, before: list[str], nulls: Collection[str], found: list[str], columns: Collection[str], path: Path
    ) -> list[str]:
        """The components of the first step as far as they are there; a column of nulls still is one. Then new ones."""
        if late := [name for name in found if name in nulls and name not in before]:
            self.warn(
                f"{path} is the first with numbers in {', '.join(map(repr, late))}, null till then: it is no reward "
                "component here, for the steps before went without. Read the log anew to have it, or name the "
                "components with components=.",
                topic=f"late {late}",
            )
        return [name for name in before if name in columns] + [
            name for name in found if name not in before and name not in late
        ]


def _null_names(columns: Mapping[str, Sequence[Any]]) -> set[str]:
    return {name for name, values in columns.items() if not any(value is not None for value in values)}
