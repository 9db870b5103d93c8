"""What the formats are worth: accuracy of each, and pass@k against the base model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from eval.collapse.records import LookRecord, PassAtK, Range
from eval.collapse.run_report import RunReport
from eval.report.charts import Spec, line_chart, plain_layout, plotly_text
from eval.report.collapse.drawn import drawn_looks, marked_alarms
from eval.report.collapse.labels import Palette, seen
from eval.report.collapse.steps import look_line, step_chart
from eval.report.collapse.wording import percent
from eval.report.data import Curve, finite
from eval.report.names import distinct, shortened
from eval.report.parts import Chart, ChartGroup, join_charts
from eval.report.styles import LineStyle

PASS_STYLES = {
    "base": LineStyle("ink", "dash", "circle"),
    "first look": LineStyle("orange", "dashdot", "square"),
    "first alarm": LineStyle("vermillion", "dot", "triangle-up"),
    "last look": LineStyle("blue", "solid", "diamond"),
}
_ROW = 40  # pixels a label
_MOST_MARKERS = 8


def accuracy_chart(run: RunReport, palette: Palette) -> ChartGroup:
    """A row for each label: its accuracy at the base and at the last look; the larger a mark, the larger its share."""
    last = next((look for look in reversed(run.looks) if look.accuracy.get(palette.facet)), None)
    looks = [("base", run.base, 0.16), ("last look", last, -0.16 if run.base else 0.0)]
    known = {label for _, look, _ in looks if look for label in look.accuracy.get(palette.facet, {})}
    rows = [label for label in palette.styles if label in known]
    if not rows:
        return ChartGroup([], [])
    styles = {
        "base": LineStyle("ink", "solid", "diamond", is_open=True),
        "last look": LineStyle("blue", "solid", "circle"),
    }
    data = [
        _accuracy_marks(name, look, rows, palette, styles[name], lift)
        for name, look, lift in looks
        if look is not None and look.accuracy.get(palette.facet)
    ]
    layout = plain_layout("accuracy of its samples", "")
    layout["xaxis"] |= {
        "range": [-0.04, 1.04],
        "tickformat": ".0%",
        "tickvals": [0, 0.25, 0.5, 0.75, 1],
        "showgrid": True,
    }
    names = [plotly_text(each) for each in distinct(shortened(label, 18) for label in rows)]
    places = list(range(len(rows) - 1, -1, -1))
    layout["yaxis"] |= {"tickvals": places, "ticktext": names, "range": [-0.6, len(rows) - 0.4], "title": {"text": ""}}
    layout["hovermode"] = "closest"
    words = "; ".join(f"{label} {_accuracy_words(run, last, palette.facet, label)}" for label in rows)
    chart = Chart(
        "Accuracy, base and last look", {"data": data, "layout": layout}, alt=words, height=_ROW * len(rows) + 100
    )
    return join_charts([chart], styles, styles)


def accuracy_over_steps(run: RunReport, palette: Palette) -> ChartGroup:
    """A small chart for each label: accuracy by step with its interval; the larger a mark, the larger the share."""
    alarms = [alarm.step for alarm in marked_alarms(run)]
    charts = []
    for label in palette.styles:
        looks = [look for look in drawn_looks(run) if label in look.accuracy.get(palette.facet, {})]
        if len(looks) < 2:
            continue
        curve = look_line(looks, lambda look, label=label: look.accuracy[palette.facet][label])  # type: ignore[misc]
        base = run.base.accuracy.get(palette.facet, {}).get(label) if run.base else None
        line = LineStyle("blue", "solid", "circle")
        spec = step_chart(
            {label: curve},
            {label: line},
            "accuracy",
            base={label: base.est if base else None},
            alarms=alarms,
            as_share=True,
            steps=[look.step for look in run.looks],
        )
        every = max(1, len(looks) // _MOST_MARKERS)
        shares = [palette.shares_of(look)[label] or 0.0 for look in looks]
        last = len(looks) - 1
        spec["data"][-1]["marker"]["size"] = [
            _size(share) if (last - at) % every == 0 else 0 for at, share in enumerate(shares)
        ]
        spec["layout"]["xaxis"]["range"] = _padded([look.step for look in run.looks])
        spec["layout"]["xaxis"]["nticks"] = 5
        charts.append(
            Chart(
                label,
                spec,
                small=True,
                alt=f"Accuracy of {label}: {percent(curve.mean[0])} first, {percent(curve.mean[-1])} last.",
            )
        )
    return ChartGroup(charts, [])


def pass_curves(run: RunReport) -> dict[str, Curve]:
    """pass@k against k: of the base model, at the first look, at the first alarm, at the last look."""
    measured = [look for look in run.looks if look.pass_at_k]
    if not measured:
        return {}
    curves = {"base": _base_curve(run, measured[-1])}
    if len(measured) > 1:
        curves["first look"] = _pass_curve(measured[0].pass_at_k)
    alarmed = next((look for look in measured if run.alarms and look.number == run.alarms[0].look), None)
    if alarmed is not None and alarmed not in (measured[0], measured[-1]):
        curves["first alarm"] = _pass_curve(alarmed.pass_at_k)
    return curves | {"last look": _pass_curve(measured[-1].pass_at_k)}


def pass_group(run: RunReport) -> ChartGroup:
    """pass@k against k, and the paired difference from the base model on the same prompts."""
    curves = pass_curves(run)
    spec = line_chart(curves, PASS_STYLES, "samples k", "pass@k", counts_on_log_x=True)
    spec["layout"]["yaxis"] |= {"tickformat": ".0%"}
    for trace in spec["data"]:
        trace["hovertemplate"] = "%{y:.1%}"
    charts = [Chart("pass@k", at_each_k(spec), alt=_pass_words(curves))]
    last = next((look for look in reversed(run.looks) if look.pass_at_k), None)
    found = {k: each.difference for k, each in _in_order(last.pass_at_k) if each.difference} if last else {}
    if found:
        curve = _curve({int(k): each for k, each in found.items()})
        words = "; ".join(f"k = {k}: {100 * each.est:+.1f} points" for k, each in found.items())
        charts.append(Chart("Last look − base, same prompts", _difference_chart(curve), alt=words))
    return join_charts(charts, PASS_STYLES, PASS_STYLES)


def _difference_chart(curve: Curve) -> Spec:
    spec = line_chart({"last look": curve}, PASS_STYLES, "samples k", "difference of pass@k", counts_on_log_x=True)
    zero = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 0,
        "line": {"color": "c:axis", "width": 1.5},
    }
    spec["layout"]["shapes"] = [zero]
    spec["layout"]["yaxis"] |= {"tickformat": "+.0%", "rangemode": "tozero"}
    for trace in spec["data"]:
        trace["hovertemplate"] = "%{y:+.1%}"
    return at_each_k(spec)


def at_each_k(spec: Spec) -> Spec:
    """Ticks and markers where something was measured: the usual k are powers of two, not the axis's own 1, 2, 5."""
    ks = sorted({k for trace in spec["data"] for k in trace["x"] if k is not None})
    if 0 < len(ks) <= 9:
        spec["layout"]["xaxis"]["tickvals"] = ks
        for trace in spec["data"]:
            if "marker" in trace:
                trace["marker"]["size"] = 8
    return spec


def _accuracy_marks(
    name: str, look: LookRecord, rows: Sequence[str], palette: Palette, style: LineStyle, lift: float
) -> Spec:
    accuracy, shares = look.accuracy[palette.facet], palette.shares_of(look)
    found = [
        (label, len(rows) - 1 - place + lift, accuracy[label]) for place, label in enumerate(rows) if label in accuracy
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "meta": name,
        "x": [finite(each.est) for _, _, each in found],
        "y": [height for _, height, _ in found],
        "text": [
            f"{plotly_text(label)}: {percent(each.est)}, share {percent(shares[label])}" for label, _, each in found
        ],
        "hovertemplate": "%{text}",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [each.hi - each.est if each.hi is not None else 0.0 for _, _, each in found],
            "arrayminus": [each.est - each.lo if each.lo is not None else 0.0 for _, _, each in found],
            "color": f"c:{style.colour}",
            "thickness": 1.6,
            "width": 0,
        },
        "marker": {
            "symbol": style.plotly_symbol,
            "size": [_size(shares[label] or 0.0) for label, _, _ in found],
            "color": f"c:{style.colour}",
            "opacity": 1,
            "line": {"color": f"c:{style.colour}", "width": 1.6},
        },
    }


def _accuracy_words(run: RunReport, last: LookRecord | None, facet: str, label: str) -> str:
    both = [look.accuracy.get(facet, {}).get(label) if look else None for look in (run.base, last)]
    return " to ".join(percent(each.est if each else None) for each in both)


def _size(share: float) -> float:
    return round(6 + 16 * math.sqrt(max(share, 0.0)), 1)  # the area grows with the share


def _padded(steps: Sequence[int]) -> list[float]:
    room = 0.04 * (steps[-1] - steps[0]) or 1.0
    return [steps[0] - room, steps[-1] + room]


def _in_order(found: dict[str, PassAtK]) -> list[tuple[str, PassAtK]]:
    return sorted(found.items(), key=lambda pair: int(pair[0]))


def _pass_curve(found: dict[str, PassAtK]) -> Curve:
    return _curve({int(k): each.now for k, each in found.items()})


def _base_curve(run: RunReport, last: LookRecord) -> Curve:
    """On the last look's prompts if it says, else over all of the base model's."""
    paired = {int(k): Range(each.base) for k, each in last.pass_at_k.items() if each.base is not None}
    if paired:
        return _curve(paired)
    return _pass_curve(run.base.pass_at_k) if run.base else Curve([], [])


def _curve(values: dict[int, Range]) -> Curve:
    ks = sorted(values)
    found = [values[k] for k in ks]
    has_band = any(each.lo is not None and each.hi is not None for each in found)
    lo, hi = ([each.lo for each in found], [each.hi for each in found]) if has_band else (None, None)
    return Curve(ks, [each.est for each in found], lo, hi)


def _pass_words(curves: dict[str, Curve]) -> str:
    return "pass@k by k. " + " ".join(
        f"{name}: "
        + ", ".join(f"pass@{k:.0f} {percent(value)}" for k, value in zip(curve.x, curve.mean, strict=True))
        + "."
        for name, curve in curves.items()
        if curve.x
    )


def has_accuracy(run: RunReport) -> bool:
    """Whether anything says what is correct."""
    return any(look.accuracy or look.pass_at_k for look in seen(run))
