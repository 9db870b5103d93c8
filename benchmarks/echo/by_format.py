"""A control: a vector that tells the formats apart. VPO keeps what its vector names, and the task's own names none."""

from __future__ import annotations

from typing import ClassVar

from vpo.tasks.format_mixture import FormatMixtureTask
from vpo.tasks.format_mixture.solutions import FORMATS
from vpo.tasks.protocol import Row


class ByFormatTask(FormatMixtureTask):
    """The same word problems; components are right, and right in each of the formats."""

    components: ClassVar[tuple[str, ...]] = ("correct", *FORMATS)  # type: ignore[misc]
    w_star: ClassVar[tuple[float, ...]] = (1.0, 0.0, 0.0, 0.0)  # type: ignore[misc]

    def score(self, answer: str, row: Row) -> tuple[float, ...]:
        """Whether it is right, and the same in the place of its format."""
        correct, form = super().score(answer, row)[0], self.label(answer, row)
        return (correct, *(correct * (form == name) for name in FORMATS))
