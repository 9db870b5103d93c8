"""The depth report's main charts as one PNG, for a slide, a paper, a comment. Needs matplotlib (extra ``png``)."""

from __future__ import annotations

import io
import math
from typing import Any

from eval.depth.record import DepthReport, Series
from eval.report.depth.charts import LINES

# Okabe and Ito, as on the page in light surroundings.
_COLOURS = {
    "blue": "#0072b2",
    "green": "#009e73",
    "vermillion": "#d55e00",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "ink": "#4d5560",
}
_DASHES = {"solid": "-", "dash": "--", "dot": ":"}
_PANELS = (
    ("Cross-entropy (nats)", ("cross_entropy",)),
    ("Right predictions", ("accuracy",)),
    ("KL (nats a token)", ("kl_previous", "kl_capped")),
    ("Residual", ("residual", "scale_free_residual")),
    ("Cosine of steps, contraction", ("cosine", "contraction")),
    ("Effective rank", ("effective_rank",)),
)


def draw_picture(report: DepthReport) -> bytes:
    """Six panels over loops; the sweet spot and its interval are orange.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "matplotlib is not installed, and report.png was asked for: expected the extra `png`. Install it "
            "(pip install 'vpo[png]'), or leave out --png: report.html has all charts."
        ) from error
    figure = Figure(figsize=(12, 6.4), dpi=130, layout="constrained")
    for number, (title, names) in enumerate(_PANELS, start=1):
        axes = figure.add_subplot(2, 3, number)
        for name in names:
            if (series := report.series.get(name)) is not None:
                _line(axes, name, series)
        spot = report.sweet_spot
        axes.axvspan(spot.lo - 0.12, spot.hi + 0.12, color=_COLOURS["orange"], alpha=0.12, linewidth=0)
        axes.axvline(spot.loop, color=_COLOURS["orange"], linestyle="--", linewidth=1.4)
        axes.set_title(title, loc="left", fontsize=11)
        axes.set(xlim=(0.7, report.loops + 0.3), xlabel="loops")
        if report.loops <= 12:
            axes.set_xticks(range(1, report.loops + 1))
        if title.startswith("KL"):
            axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        if len(names) > 1:
            axes.legend(frameon=False, fontsize=9)
    figure.suptitle(report.title.replace("$", r"\$"), x=0.01, ha="left", fontsize=13)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _line(axes: Any, name: str, series: Series) -> None:
    label, style = LINES[name]
    colour = _COLOURS[style.colour]
    points = [(t, y or math.nan) for t, y in enumerate(series.mean, start=1)]  # 0 has no place on a logarithmic axis
    axes.plot(*zip(*points, strict=True), color=colour, linestyle=_DASHES[style.dash], marker="o", label=label)
    edges = enumerate(zip(series.lo or [], series.hi or [], strict=True), start=1)
    band = [(t, lo, hi) for t, (lo, hi) in edges if lo and hi]
    if band:
        axes.fill_between(*zip(*band, strict=True), color=colour, alpha=0.15, linewidth=0)
