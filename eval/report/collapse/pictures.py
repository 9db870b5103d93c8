"""The main charts as PNG, for where a page cannot be shown: a slide, a paper, a comment. Needs matplotlib.

The colours are those of the page, read from its style sheet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from eval.collapse.run_report import CollapseReport, RunReport
from eval.report.collapse import diversity, outcomes
from eval.report.collapse.drawn import drawn_looks, marked_alarms
from eval.report.collapse.labels import Palette, facets_of, palette
from eval.report.collapse.steps import look_line
from eval.report.data import Curve
from eval.report.png import colours, draw_curve, new_figure, plain, png_of
from eval.report.styles import LineStyle

_HATCHES = {"": "", "/": "///", ".": "...", "x": "xxx"}


def draw_pictures(report: CollapseReport) -> dict[str, bytes]:
    """File name -> PNG: shares of each facet, effective formats, pass@k and the evidence of each run.

    Raises:
        ImportError: matplotlib is not installed.
    """
    found = {}
    for number, run in enumerate(report.runs, start=1):
        start = f"{number}-" if len(report.runs) > 1 else ""
        for name, draw in _drawings(report, run).items():
            figure = new_figure("charts/*.png", "`png`", figsize=(8, 4.2), dpi=150)
            found[f"{start}{name}.png"] = _png(figure, run, draw)
    return found


def _drawings(report: CollapseReport, run: RunReport) -> dict[str, Callable[[Any], None]]:
    """Name -> what draws it on axes."""
    found: dict[str, Callable[[Any], None]] = {}
    for facet in facets_of([run]):
        # Over all runs of the report, so that a label has one colour in all pictures
        found[f"shares-{_slug(facet)}"] = partial(_areas, run=run, labels=palette(report.runs, facet))
    groups = {
        "effective-formats": (diversity.effective_curves(run, "format"), "effective number of formats"),
        "pass-at-k": (outcomes.pass_curves(run), "pass@k"),
        "evidence": (_evidence(run), "log evidence (nats)"),
    }
    for name, (lines, unit) in groups.items():
        if any(value is not None for curve in lines.values() for value in curve.mean):
            found[name] = partial(_lines, run=run, lines=lines, unit=unit, by_k=unit == "pass@k")
    return found


def _png(figure: Any, run: RunReport, draw: Callable[[Any], None]) -> bytes:
    axes = figure.add_subplot()
    draw(axes)
    axes.set_title(plain(run.name), loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return png_of(figure)


def _areas(axes: Any, run: RunReport, labels: Palette) -> None:
    fill_colours = colours()
    looks = [look for look in drawn_looks(run) if labels.facet in look.shares]
    steps = [float(look.step) for look in looks]
    fills = list(labels.styles.values())
    if len(looks) == 1:
        looks, steps = looks * 2, [steps[0] - 0.5, steps[0] + 0.5]
    rows = [[labels.shares_of(look)[label] or 0.0 for look in looks] for label in labels.styles]
    drawn = {"edgecolor": "white", "linewidth": 0.6}
    areas = axes.stackplot(
        steps,
        rows,
        labels=[plain(label) for label in labels.styles],
        colors=[fill_colours[fill.colour] for fill in fills],
        **drawn,
    )
    for area, fill in zip(areas, fills, strict=True):
        area.set_hatch(_HATCHES[fill.pattern])
    left, right = steps[0], steps[-1]
    if run.base and labels.facet in run.base.shares:
        width = 0.06 * (right - left)
        bottom = 0.0
        for label, fill in labels.styles.items():
            share = labels.shares_of(run.base)[label] or 0.0
            colour, hatch = fill_colours[fill.colour], _HATCHES[fill.pattern]
            axes.bar(left - 1.2 * width, share, width, bottom=bottom, color=colour, hatch=hatch, **drawn)
            bottom += share
        left -= 1.7 * width
    axes.set(xlabel="training step" + ("; the bar is the base model" if left < steps[0] else ""))
    axes.set(ylabel="share of samples", ylim=(0, 1), xlim=(left, right))
    _mark_alarms(axes, run)


def _lines(axes: Any, run: RunReport, lines: Mapping[str, Curve], unit: str, by_k: bool) -> None:
    styles = _styles(list(lines))
    for name, curve in lines.items():
        draw_curve(axes, name, curve, styles[name], with_markers=by_k)
    axes.grid(axis="y", color=colours()["pale"], linewidth=0.6)
    axes.set(xlabel="samples k" if by_k else "training step", ylabel=unit)
    if by_k:
        ks = sorted({x for curve in lines.values() for x in curve.x})
        axes.set_xscale("log")
        axes.set_xticks(ks, [f"{k:.0f}" for k in ks])
        axes.minorticks_off()
    else:
        _mark_alarms(axes, run)


def _mark_alarms(axes: Any, run: RunReport) -> None:
    for number, alarm in enumerate(marked_alarms(run)):
        axes.axvline(alarm.step, color="#b54400", linestyle="--", linewidth=1.2, label="alarm" if number == 0 else None)


def _evidence(run: RunReport) -> dict[str, Curve]:
    looks = drawn_looks(run)
    return {
        "all together": look_line(looks, lambda look: look.log_evidence),
        "threshold": look_line(looks, lambda look: look.log_threshold),
    }


def _styles(names: Sequence[str]) -> dict[str, LineStyle]:
    known = {**outcomes.PASS_STYLES, **diversity.HILL, "threshold": LineStyle("vermillion", "dashdot", "x")}
    return {name: known.get(name, LineStyle("ink", "solid", "circle")) for name in names}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "facet"
