"""The page of a comparison: one table of policies, their curves, and paired differences."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.report import words
from eval.report.charts import line_chart
from eval.report.data import Curve, Number, finite, require_title
from eval.report.files import write_files
from eval.report.parts import Chart, fill_template, join_charts
from eval.report.styles import LineStyle, arm_styles

_LONG = 14  # characters of a name that needs a wider column


@dataclass(frozen=True)
class Cell:
    """A mean over seeds and its standard error; None where there is none, and then ``instead`` is printed."""

    mean: Number
    se: Number = None
    instead: str = words.MISSING

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", finite(self.mean))
        object.__setattr__(self, "se", finite(self.se))

    @property
    def text(self) -> str:
        """As it is printed."""
        if self.mean is None:
            return self.instead
        if abs(self.mean) >= 1000:
            return f"{self.mean:,.0f}"
        digits = 1 if abs(self.mean) >= 100 else 3
        error = "" if self.se is None else f" ± {self.se:.{digits}f}"
        return f"{self.mean:.{digits}f}{error}"


@dataclass(frozen=True)
class Difference:
    """A policy against another on the same prompts and seeds: mean difference, 95% interval, p of a test by prompt."""

    arm: str
    against: str
    metric: str
    mean: float
    lo: float
    hi: float
    p: Number = None

    @property
    def text(self) -> str:
        """As it is printed."""
        return " ".join(self.parts)

    @property
    def parts(self) -> list[str]:
        """Difference, interval and p-value, as far as they are known; a narrow column breaks between them."""
        interval = [] if math.isnan(self.lo) else [f"[{_signed(self.lo)}, {_signed(self.hi)}]"]
        test = [] if self.p is None else ["p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"]
        return [_signed(self.mean), *interval, *test]

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.lo > 0 or self.hi < 0


@dataclass(frozen=True)
class Wording:
    """What a page says around its numbers; by default of a comparison of training objectives."""

    eyebrow: str = "Comparison at equal generated tokens"
    row: str = "arm"
    curves: str = "The best of k answers"
    curves_lead: str = (
        "Ask a policy k times and keep the best answer. Against answers, a policy that writes several in one "
        "completion has no advantage; against tokens it has, where its answers share their reasoning. Bands: 95% over "
        "prompts, of the mean over seeds."
    )
    figures_lead: str = "Mean ± standard error over seeds."
    differences_lead: str = "On the same prompts and seeds; 95% intervals resample both."
    column_notes: Mapping[str, str] = field(default_factory=dict)

    def column_note(self, name: str) -> str:
        """What a column holds, for whoever points at its head; empty if nothing is to be said."""
        return self.column_notes.get(name, "") or words.column_note(name)


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
        findings: Where one curve lies above another, in sentences.
        details: Further numbers for the JSON file alone; no NaN among them.
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
    findings: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_title(self.title)

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


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no -0.000


def write_comparison(
    report: ComparisonReport, path: Path, wording: Wording | None = None, styles: dict[str, LineStyle] | None = None
) -> None:
    """Write the page to ``path`` (.html) and the numbers beside it (.json), each whole or not at all.

    Args:
        report: What is shown.
        path: The page.
        wording: What it says around the numbers.
        styles: A line for each arm of the table; by default those of ``arm_styles``.
    """
    wording, styles = wording or Wording(), styles or arm_styles(report.table)
    charts = []
    for (title, x, y), curves in report.charts.items():
        counts = "answers" in x
        shared = len({tuple(curve.x) for curve in curves.values()}) == 1
        spec = line_chart(dict(curves), styles, x, y, counts_on_log_x=counts, compare_at_x=counts or shared)
        charts.append(Chart(title, spec))
    group = join_charts(charts, styles, report.table)
    pairs = list(dict.fromkeys((each.arm, each.against) for each in report.differences))
    page = fill_template(
        "comparison.html.j2",
        bool(group),
        report=report,
        wording=wording,
        columns=list(next(iter(report.table.values()), {})),
        column_note=wording.column_note,
        time_text=words.time_text,
        missing=words.MISSING,
        long_names=max(map(len, report.table), default=0) > _LONG,
        arms=styles,
        group=group,
        metrics=list(dict.fromkeys(each.metric for each in report.differences)),
        by_pair={
            pair: {each.metric: each for each in report.differences if (each.arm, each.against) == pair}
            for pair in pairs
        },
    )
    write_files({path.with_suffix(".json"): report.to_json(), path: page})
