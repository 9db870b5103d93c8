"""Charts over training steps: alarms marked, the reference dotted, a logarithmic axis on request, panels on one x."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.collapse.records import LookRecord, Range
from eval.report.charts import Spec, line_chart, plotly_text, share_chart
from eval.report.collapse.labels import Palette
from eval.report.data import Curve, Number, finite
from eval.report.styles import LineStyle

_BASE_COLUMN = 0.075  # of the width: one bar
_FIRST_STEP = 0.12
_MOST_TICKS = 6


def look_line(looks: Sequence[LookRecord], value_of: Callable[[LookRecord], Range | Number]) -> Curve:
    """A number of each look against its step, with the interval where there is one."""
    values = [value_of(look) for look in looks]
    ranges = [value if isinstance(value, Range) else Range(value) if value is not None else None for value in values]
    edges = [(each.lo, each.hi) if each and each.lo is not None and each.hi is not None else None for each in ranges]
    has_band = any(edges)
    return Curve(
        [look.step for look in looks],
        [finite(each.est) if each else None for each in ranges],
        [each[0] if each else None for each in edges] if has_band else None,
        [each[1] if each else None for each in edges] if has_band else None,
    )


def step_chart(
    curves: dict[str, Curve],
    styles: dict[str, LineStyle],
    y_title: str,
    *,
    base: Mapping[str, Number] | None = None,
    alarms: Sequence[int] = (),
    from_zero: bool = False,
    as_share: bool = False,
    steps: Sequence[float] = (),
) -> Spec:
    """Lines over training steps.

    Args:
        curves: Name to curve.
        styles: A style for each name.
        y_title: Vertical axis with its unit.
        base: Name to what the reference has, drawn as a dotted level in the line's colour.
        alarms: Steps that a vertical line marks.
        from_zero: Start the vertical axis at zero.
        as_share: The values are shares: percent, between 0 and 1.
        steps: Steps that a logarithmic axis covers, for charts side by side; by default the curves' own.
    """
    spec = line_chart(curves, styles, "training step", y_title, from_zero=from_zero)
    x = sorted({step for curve in curves.values() for step in curve.x})
    if len(x) == 1:  # alone, it stands in the middle, and levels need a width
        spec["layout"]["xaxis"] |= {"range": [x[0] - 1, x[0] + 1], "tickvals": x}
        x = [x[0] - 1, x[0] + 1]
    drawn = {trace["meta"] for trace in spec["data"]}
    levels = [
        _level(name, level, x, styles[name])
        for name, value in (base or {}).items()
        if name in drawn and (level := finite(value)) is not None
    ]
    spec["data"] = levels + spec["data"]
    if as_share:
        spec["layout"]["yaxis"] |= {"range": [-0.02, 1.02], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
        for trace in spec["data"]:
            trace["hovertemplate"] = "%{y:.1%}"
    return with_alarms(with_log(spec, steps or x), alarms)


def area_chart(
    looks: Sequence[LookRecord],
    base: LookRecord | None,
    palette: Palette,
    steps: Sequence[int],
    alarms: Sequence[int] = (),
) -> Spec:
    """Shares by step as stacked areas, with the base model's as a bar at the left.

    Args:
        looks: Those of a run, ascending, one at least.
        base: The base model's; None without one.
        palette: The facet, and a fill for each of its labels.
        steps: All steps of this chart and of those beside it, which share an axis.
        alarms: Steps that a vertical line marks.
    """
    ends = (min(steps), max(steps))
    spec = share_chart(looks, palette.styles, palette.shares_of, ends, of_what="samples")
    for trace in spec["data"]:
        trace["hovertemplate"] = "%{y:.1%}"
    if base is not None and base.shares.get(palette.facet):
        shares = palette.shares_of(base)
        layout = spec["layout"]
        for label, style in palette.styles.items():
            colour = f"c:{style.colour}"
            pattern = {"shape": style.pattern, "bgcolor": colour, "fgcolor": "c:hatch", "size": 6, "solidity": 0.2}
            marker = {"color": colour, "line": {"color": "c:card", "width": 1}}
            bar: Spec = {"type": "bar", "name": plotly_text(label), "meta": label, "x": ["base"], "y": [shares[label]]}
            bar |= {"xaxis": "x2", "width": 0.96, "hovertemplate": "%{y:.1%}"}
            spec["data"].append(bar | {"marker": marker | ({"pattern": pattern} if style.pattern else {})})
        layout["xaxis2"] = layout["xaxis"] | {"domain": [0, _BASE_COLUMN], "type": "category", "anchor": "y"}
        layout["xaxis2"] |= {"title": {"text": ""}, "range": [-0.5, 0.5], "ticks": "", "tickvals": ["base"]}
        layout["xaxis2"]["unifiedhovertitle"] = {"text": "base model"}
        layout["xaxis"]["domain"] = [_FIRST_STEP, 1]
        layout["yaxis"]["anchor"] = "x2"
    return with_alarms(with_log(spec, steps) if len(looks) > 1 else spec, alarms, "mark")


def panels(specs: Sequence[tuple[Spec, float]]) -> Spec:
    """Several charts as panels on one horizontal axis, each with its weight in height, the first on top."""
    specs = [(spec, weight) for spec, weight in specs if spec["data"]]
    if not specs:
        return {"data": [], "layout": {}}
    gap = 0.07
    room = 1 - gap * (len(specs) - 1)
    total = sum(weight for _, weight in specs)
    joined: Spec = {"data": [], "layout": dict(specs[-1][0]["layout"])}
    shapes: list[Any] = []
    top = 1.0
    for place, (spec, weight) in enumerate(specs, start=1):
        bottom = max(0.0, top - room * weight / total)
        name = "yaxis" if place == 1 else f"yaxis{place}"
        joined["layout"][name] = spec["layout"]["yaxis"] | {"domain": [bottom, top], "anchor": "x"}
        joined["data"] += [trace | {"yaxis": f"y{place}", "xaxis": "x"} for trace in spec["data"]]
        shapes += [
            shape if shape.get("yref") == "paper" else shape | {"yref": f"y{place}"}
            for shape in spec["layout"].get("shapes", [])
        ]
        joined |= {"log": spec["log"]} if "log" in spec else {}
        top = bottom - gap
    lowest = "y" if len(specs) == 1 else f"y{len(specs)}"
    joined["layout"]["xaxis"] = joined["layout"]["xaxis"] | {"anchor": lowest}
    joined["layout"] |= {"shapes": _without_repeats(shapes), "hoversubplots": "axis"}
    return joined


def with_alarms(spec: Spec, alarms: Sequence[int], colour: str = "bad") -> Spec:
    """Mark steps by vertical lines."""
    line = {"color": f"c:{colour}", "width": 1.5, "dash": "dash"}
    marks = [
        {"type": "line", "xref": "x", "yref": "paper", "x0": step, "x1": step, "y0": 0, "y1": 1, "line": line}
        for step in dict.fromkeys(alarms)
    ]
    spec["layout"]["shapes"] = [*spec["layout"].get("shapes", []), *marks]
    return spec


def with_log(spec: Spec, steps: Sequence[float]) -> Spec:
    """Offer a logarithmic axis where it shows something: positive steps over a decade."""
    positive = sorted(step for step in set(steps) if step > 0)
    if len(positive) >= 3 and positive[-1] >= 10 * positive[0]:
        low, high = positive[0], positive[-1]
        edges = [math.log10(low), math.log10(high)]
        spec["log"] = {"type": "log", "range": edges, "tickvals": _log_ticks(low, high), "ticklabeloverflow": "allow"}
    return spec


def _log_ticks(low: float, high: float) -> list[int]:
    """As many of 1-2-5, 1-3 or 1 times a power of ten as stand apart on a narrow chart."""
    for bases in ((1, 2, 5), (1, 3), (1,)):
        ticks = [base * 10**power for power in range(10) for base in bases if low <= base * 10**power <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    return ticks


def _level(name: str, value: float, x: Sequence[float], style: LineStyle) -> Spec:
    positive = [each for each in x if each > 0] or list(x)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plotly_text(f"{name}, reference"),
        "meta": name,
        "x": [min(positive), max(positive)],
        "y": [value, value],
        "line": {"color": f"c:{style.colour}", "dash": "dot", "width": 1.4},
        "hoverinfo": "skip",
    }


def _without_repeats(shapes: Sequence[Any]) -> list[Any]:
    return [shape for place, shape in enumerate(shapes) if shape not in shapes[:place]]
