"""What every kind of log can do: give samples step by step, and say what was wrong with it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.samples import Samples
from eval.sources.steadiness import Steadiness

_MOST_WARNINGS = 100


Mark = tuple[int, int]
"""Length of a line, and its hash in this process."""


@dataclasses.dataclass
class Cursor:
    """How far one reading of a log has come.

    Attributes:
        offset: Bytes of a file whose samples were given out.
        line: Lines before ``offset``.
        ends: Marks of the first line of the file and of the last before ``offset``, by which a file that took its place
            is told.
        components: Reward columns, once the first step has told them, for kinds that guess them from the values.
        nulls: Columns that held nothing but nulls when these were told.
        numbered: Whether lines say their step, once the first has told.
        is_held: Whether the last step before ``offset`` was held back.
    """

    offset: int = 0
    line: int = 0
    ends: tuple[Mark, Mark] | None = None
    components: list[str] | None = None
    nulls: frozenset[str] = frozenset()
    numbered: bool | None = None
    is_held: bool = False


class Source(ABC):
    """A log of one kind.

    Args:
        path: File or folder.
        skip_damaged: Leave out what cannot be read, with a warning, instead of raising.
        components: Columns that are rewards, where the log does not tell them from others; None: all that can be.

    Attributes:
        name: Of the kind, as reports show it.
        warnings: What was noticed while reading, each once, at most a hundred.
    """

    name: str

    def __init__(self, path: str | Path, skip_damaged: bool = False, components: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self.skip_damaged = skip_damaged
        self.components = None if components is None else tuple(components)
        self.warnings: list[str] = []
        self._topics: set[str] = set()
        self._cursor = Cursor()
        self._followed = Steadiness(self.path, self.warn)

    def read(self, after_step: int = -1) -> Iterator[Samples]:
        """Yield the samples of each step, ascending, as the log stands now.

        Args:
            after_step: Leave out this step and all before.

        Raises:
            FileNotFoundError: There is no such file or folder.
            SourceError: The log is damaged, not of this kind, out of order, or its reward components change.
        """
        steady = Steadiness(self.path, self.warn)
        found = False
        for samples in self._steps(after_step, True, Cursor()):
            found = True
            yield steady.passed(samples)
        if not found and after_step < 0:
            self.warn(f"{self.path} holds no samples.")

    def poll(self, after_step: int = -1, final: bool = False) -> Iterator[Samples]:
        """Yield the steps that are whole, of a log that may be growing; for :func:`eval.sources.follow`.

        A file is taken up where the last call left it, so one follower a source.

        Args:
            after_step: Leave out this step and all before.
            final: The writer is done: the last step is whole, too.

        Raises:
            SourceError: As :meth:`read`; a file that may still be in writing is none.
        """
        for samples in self._steps(after_step, final, self._cursor):
            yield self._followed.passed(samples)

    def warn(self, text: str, topic: str | None = None) -> None:
        """Note something that a reader of the report should know; of a topic, the first occurrence only."""
        if (topic or text) in self._topics or len(self.warnings) == _MOST_WARNINGS:
            return
        self._topics.add(topic or text)
        is_last = len(self.warnings) == _MOST_WARNINGS - 1
        self.warnings.append("There are more warnings than these." if is_last else text)

    @abstractmethod
    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        """As :meth:`read` if ``final``, else as :meth:`poll`; ``cursor`` is moved past what was yielded."""
