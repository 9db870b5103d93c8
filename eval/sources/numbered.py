"""A folder with one JSONL file for each step, its number in the name: how verl and OpenRLHF write samples down.

Both call prompts ``input`` and completions ``output``.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
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
            samples = self._samples(step, path, lines, cursor)
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
        found = sorted((int(m[1]), p) for p in self.path.iterdir() if (m := self.pattern.fullmatch(p.name)))
        for (step, one), (other_step, other) in pairwise(found):
            if step == other_step:
                raise SourceError(
                    f"{one} and {other.name} are both of step {step}: expected one file a step, with its number in the "
                    "name. Join the two, or move what is no rollout dump elsewhere."
                )
        return list(found)

    def _samples(self, step: int | None, path: Path, lines: Sequence[Line], cursor: Cursor) -> Samples:
        def place(i: int) -> str:
            return f"{path}, line {lines[i].number}"

        columns = columns_of([line.record for line in lines])
        if step is None:
            match = self.pattern.fullmatch(path.name)
            said = columns.get("step", [None])[0]
            step = int(match[1]) if said is None and match else step_number(said or 0, place(0))
        for i, said in enumerate(columns.get("step", ())):
            if said is not None and said != step:
                raise SourceError(
                    f"{place(i)} is of step {said!r:.60}, expected {step} throughout the file, as in its name. Give "
                    "the file the name that it was written under."
                )
        found = self._components(columns, place)
        if self.components is not None:
            names = chosen_components(self.components, columns, place)
        else:
            names = cursor.components = self._same(cursor.components or found, found, columns, step, path)
        # Numbers that are no component say something of success all the same: no label may see them.
        kinds = Names("input", "output", frozenset(numeric_names(columns)))
        return samples_from_columns(step, columns, kinds, names, place)

    def _same(
        self, before: list[str], found: list[str], columns: dict[str, list[Any]], step: int, path: Path
    ) -> list[str]:
        """The components of the first step, which are to be those of this one; a column of nulls still is one."""
        lost = [name for name in before if name not in columns]
        new = [name for name in found if name not in before]
        if lost or new:
            what = [
                f"{verb} {', '.join(map(repr, names))}" for verb, names in (("lacks", lost), ("gains", new)) if names
            ]
            raise SourceError(
                f"{path}: step {step} {' and '.join(what)} against the reward components of the steps before, expected "
                f"{', '.join(map(repr, before))}. Rewards of different kinds are not averaged: move the later files to "
                "a folder of their own, or name the ones to read with components=."
            )
        return before
