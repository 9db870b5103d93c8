"""The page of a comparison: one table of policies, their curves, and paired differences."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.report import words
from eval.report.charts import line_chart
from eval.report.data import Curve, Number, finite
from eval.report.parts import Chart, fill_template, join_charts, write_whole
from eval.report.styles import arm_styles


@dataclass(frozen=True)
class Cell:
    """A mean over seeds and its standard error; None where there is none."""

    mean: Number
    se: Number = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", finite(self.mean))
        object.__setattr__(self, "se", finite(self.se))

    @property
    def text(self) -> str:
        """As it is printed."""
        if self.mean is None:
            return words.MISSING
        if abs(self.mean) >= 1000:
            return f"{self.mean:,.0f}"
        digits = 1 if abs(self.mean) >= 100 else 3
        error = "" if self.se is None else f" ± {self.se:.{digits}f}"
        return f"{self.mean:.{digits}f}{error}"


@dataclass(frozen=True)
class Difference:
    """A policy against another on the same prompts and seeds: mean difference with its 95% interval."""

    arm: str
    against: str
    metric: str
    mean: float
    lo: float
    hi: float

    @property
    def text(self) -> str:
        """As it is printed."""
        interval = "" if math.isnan(self.lo) else f" [{self.lo:+.3f}, {self.hi:+.3f}]"
        return f"{self.mean:+.3f}{interval}"

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.lo > 0 or self.hi < 0


@dataclass(frozen=True)
class ComparisonReport:
    """Everything that the page shows.

    Attributes:
        title: Heading.
        lead: What was compared, in words.
        command: The command line.
        created: ISO 8601 time.
        hardware: Machine in words.
        versions: Package to version.
        table: Arm -> metric -> cell; all arms have the same metrics.
        charts: Title and unit of x, of y -> arm -> curve.
        differences: Paired differences.
        notes: What to keep in mind.
    """

    title: str
    lead: str
    command: str
    created: str
    hardware: str
    versions: dict[str, str] = field(default_factory=dict)
    table: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    charts: Mapping[tuple[str, str, str], Mapping[str, Curve]] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> str:
        """All numbers, without NaN."""
        content = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        content["table"] = {
            arm: {name: dataclasses.asdict(cell) for name, cell in row.items()} for arm, row in self.table.items()
        }
        content["charts"] = [
            {"title": title, "x": x, "y": y, "curves": {arm: dataclasses.asdict(c) for arm, c in curves.items()}}
            for (title, x, y), curves in self.charts.items()
        ]
        content["differences"] = [
            {**dataclasses.asdict(each), "lo": finite(each.lo), "hi": finite(each.hi)} for each in self.differences
        ]
        return json.dumps({"schema": 1, **content}, indent=1, allow_nan=False, ensure_ascii=False)


def write_comparison(report: ComparisonReport, path: Path) -> None:
    """Write the page to ``path`` (.html) and the numbers beside it (.json), each whole or not at all."""
    styles = arm_styles(report.table)
    charts = []
    for (title, x, y), curves in report.charts.items():
        counts = "answers" in x
        spec = line_chart(dict(curves), styles, x, y, counts_on_log_x=counts, compare_at_x=counts)
        charts.append(Chart(title, spec))
    group = join_charts(charts, styles, report.table)
    page = fill_template(
        "comparison.html.j2",
        bool(group),
        report=report,
        columns=list(next(iter(report.table.values()), {})),
        column_note=words.column_note,
        time_text=words.time_text,
        missing=words.MISSING,
        arms=styles,
        group=group,
        metrics=list(dict.fromkeys(each.metric for each in report.differences)),
        by_arm={
            arm: {each.metric: each for each in report.differences if each.arm == arm}
            for arm in dict.fromkeys(each.arm for each in report.differences)
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.with_suffix(".json"), report.to_json())
    write_whole(path, page)
