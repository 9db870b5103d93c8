"""What every page is made of: charts with one legend, the template's environment and assets."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval.report.charts import Spec
from eval.report.styles import LineStyle

_MANY_LINES = 6  # more need room to be told apart
_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


@dataclass(frozen=True)
class Chart:
    """A titled chart.

    Attributes:
        title: Above it.
        spec: Plotly's ``data`` and ``layout``; ``log``, if there, holds what a logarithmic x axis changes in ``xaxis``.
        small: It stands in a row of several.
        alt: What it shows, in words, for who cannot see it; by default the title.
        height: In pixels; by default the style sheet's.
    """

    title: str
    spec: Spec
    small: bool = False
    alt: str = ""
    height: int | None = None


@dataclass(frozen=True)
class ChartGroup:
    """Charts that share one legend: (name, drawn sample) pairs; ``wide`` ones stand in a row of two at most."""

    charts: list[Chart]
    legend: list[tuple[str, Markup]]
    wide: bool = False

    def __bool__(self) -> bool:
        return any(chart.spec["data"] for chart in self.charts)

    @property
    def has_log(self) -> bool:
        """Whether the reader may choose a logarithmic x axis."""
        return any("log" in chart.spec for chart in self.charts)


def join_charts(charts: list[Chart], styles: Mapping[str, LineStyle], names: Iterable[str]) -> ChartGroup:
    """Charts with a legend of the arms that are drawn, in the order of ``names``; empty charts are left out."""
    charts = [chart for chart in charts if chart.spec["data"]]
    drawn = {trace["meta"] for chart in charts for trace in chart.spec["data"]}
    legend = [(name, styles[name].sample) for name in dict.fromkeys(names) if name in drawn]
    return ChartGroup(charts, legend, wide=len(legend) > _MANY_LINES)


def fill_template(name: str, with_charts: bool, **context: Any) -> str:
    """The text of a page that needs no network: styles, script, data and, for charts, Plotly stand inside it.

    Args:
        name: Template.
        with_charts: Whether Plotly is needed.
        **context: What the template reads; strings are escaped, ``Markup`` is taken as it is.
    """
    from plotly.offline import get_plotlyjs  # 5 MB of script: loaded only when a page is made

    return (
        _environment()
        .get_template(name)
        .render(
            css=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
            script=Markup((_TEMPLATES / "report.js").read_text(encoding="utf-8")),
            plotly=Markup(get_plotlyjs()) if with_charts else Markup(""),
            **context,
        )
    )


@functools.cache
def _environment() -> Environment:
    """Kept, because to compile a template takes longer than to fill it."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
