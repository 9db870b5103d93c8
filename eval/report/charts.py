"""Charts as Plotly specifications: plain dicts, without a legend (the page has one of its own that wraps on a phone).

Colours are the names of ``styles``; the page's script replaces them, so one specification serves light and dark.
Band = a filled outline, drawn where both edges were measured.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from eval.report.data import Curve, LookPoint, Number
from eval.report.styles import AreaStyle, LineStyle

Spec = dict[str, Any]


class Dated(Protocol):
    """Whatever was seen at a training step."""

    @property
    def step(self) -> int:
        """The training step."""


AnyLook = TypeVar("AnyLook", bound=Dated)

_COUNT_TICKS = [base * 10**power for power in range(7) for base in (1, 2, 3, 5)]


def line_chart(
    curves: dict[str, Curve],
    styles: dict[str, LineStyle],
    x_title: str,
    y_title: str,
    *,
    counts_on_log_x: bool = False,
    from_zero: bool = False,
    compare_at_x: bool = True,
) -> Spec:
    """One line for each arm, bands below all lines.

    Args:
        curves: Arm to curve; a curve without a single measured value is left out.
        styles: A style for each arm.
        x_title: Horizontal axis with its unit.
        y_title: Vertical axis with its unit.
        counts_on_log_x: Logarithmic axis with whole-number ticks, for x >= 1 such as k.
        from_zero: Start the vertical axis at zero, for quantities whose zero means "none".
        compare_at_x: Hovering names all arms at one x; otherwise only the nearest point (arms with different x).

    Returns:
        ``{"data": [...], "layout": {...}}``; each trace's ``meta`` is its arm, for the page's legend.
    """
    shown = {arm: curve for arm, curve in curves.items() if any(value is not None for value in curve.mean)}
    positions = [x for curve in shown.values() for x in curve.x]
    is_log = counts_on_log_x and bool(positions) and min(positions) >= 1
    ticks = count_ticks(min(positions), max(positions)) if is_log else []
    num_bands = sum(bool(_measured_band(curve)) for curve in shown.values())
    opacity = 0.14 if num_bands <= 4 else 0.08  # many bands lie on top of each other
    bands = [_band(arm, curve, styles[arm], opacity) for arm, curve in shown.items() if _measured_band(curve)]
    hover = "%{y:.3f}" if compare_at_x else "%{y:.3f} at %{x:,.0f}"
    lines = [_line(arm, curve, styles[arm], ticks) | {"hovertemplate": hover} for arm, curve in shown.items()]
    layout = plain_layout(x_title, y_title)
    layout["hovermode"] = "x unified" if compare_at_x else "closest"
    layout["xaxis"]["unifiedhovertitle"] = {"text": f"{x_title} = %{{x}}"}
    if is_log:
        layout["xaxis"] |= {"type": "log", "tickvals": ticks}
    if from_zero:
        layout["yaxis"]["rangemode"] = "tozero"
    return {"data": bands + lines, "layout": layout}


def share_chart(
    looks: Sequence[AnyLook],
    styles: dict[str, AreaStyle],
    shares_of: Callable[[AnyLook], Mapping[str, Number]],
    steps: tuple[int, int],
    of_what: str = "answers",
) -> Spec:
    """How the kinds of answer share 100 % over training: stacked areas, or one stacked bar for a single look.

    Args:
        looks: One arm's looks, ascending, one at least.
        styles: Kind to fill, in stacking order from below.
        shares_of: Picks the shares out of a look.
        steps: First and last step over all arms, so that neighbouring charts share an axis.
        of_what: What the shares are shares of.
    """
    x = [look.step for look in looks]
    data = [
        _share_trace(label, style, x, [shares_of(look).get(label) for look in looks]) for label, style in styles.items()
    ]
    layout = plain_layout("training step", f"share of {of_what}")
    layout["xaxis"]["unifiedhovertitle"] = {"text": "training step = %{x}"}
    low, high = steps
    layout["xaxis"] |= {"range": [low, high]} if len(x) > 1 else {"range": [x[0] - 1, x[0] + 1], "tickvals": x}
    layout["yaxis"] |= {"range": [0, 1], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    layout |= {"barmode": "stack", "hovermode": "x unified"}
    return {"data": data, "layout": layout}


def look_curve(looks: Sequence[LookPoint], quantity: str) -> Curve:
    """One quantity of an arm's looks (a field name of ``LookPoint``) against the training step."""
    return Curve([look.step for look in looks], [getattr(look, quantity) for look in looks])


def plotly_text(text: str) -> str:
    """Make any string safe for Plotly, which reads a small HTML of its own and ``%{...}`` in texts.

    And for our own script, which takes a string that begins with ``c:`` for the name of a colour.
    """
    safe = html.escape(text, quote=False).replace("%{", "%\u200b{")
    return "\u200b" + safe if safe.startswith("c:") else safe


def _line(arm: str, curve: Curve, style: LineStyle, ticks: Sequence[float]) -> Spec:
    colour = f"c:{style.colour}"
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plotly_text(arm),
        "meta": arm,
        "x": curve.x,
        "y": curve.mean,
        "line": {"color": colour, "dash": style.dash, "width": 2.4},
        "marker": {
            "symbol": style.plotly_symbol,
            "size": [8 if mark else 0 for mark in _marked(curve, ticks)],
            "color": colour,
            "opacity": 1,  # stated, because Plotly makes markers of differing sizes translucent
            "line": {"color": colour, "width": 1.6 if style.is_open else 0},
        },
    }


def _marked(curve: Curve, ticks: Sequence[float]) -> list[bool]:
    """Choose the points that carry a marker: markers tell arms apart, they do not stand for each measurement.

    On a logarithmic axis those at its ticks (equal steps in k would crowd the far end), else about eight up to the
    last; always those without a neighbour, which no line would show.
    """
    every = max(1, len(curve.x) // 8)
    last = len(curve.x) - 1
    chosen = [x in ticks if ticks else (last - index) % every == 0 for index, x in enumerate(curve.x)]
    gap = [value is None for value in curve.mean]
    alone = [before and after for before, after in zip([True, *gap[:-1]], [*gap[1:], True], strict=True)]
    return [mark or lonely for mark, lonely in zip(chosen, alone, strict=True)]


def _measured_band(curve: Curve) -> list[tuple[float, float, float]]:
    if curve.lo is None or curve.hi is None:
        return []
    edges = zip(curve.x, curve.lo, curve.hi, strict=True)
    return [(x, low, high) for x, low, high in edges if low is not None and high is not None]


def _outline(curve: Curve) -> list[tuple[Number, Number]]:
    """Along the upper edge and back along the lower one; where the line has a gap, another outline begins."""
    parts: list[list[tuple[float, float, float]]] = [[]]
    known = {x: (low, high) for x, low, high in _measured_band(curve)}
    for x, mean in zip(curve.x, curve.mean, strict=True):
        if mean is None:
            parts.append([])
        elif x in known:
            parts[-1].append((x, *known[x]))
    outline: list[tuple[Number, Number]] = []
    for part in filter(None, parts):
        upper: list[tuple[Number, Number]] = [(x, high) for x, _, high in part]
        lower: list[tuple[Number, Number]] = [(x, low) for x, low, _ in reversed(part)]
        outline += [(None, None), *upper, *lower] if outline else [*upper, *lower]
    return outline


def _band(arm: str, curve: Curve, style: LineStyle, opacity: float) -> Spec:
    outline = _outline(curve)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plotly_text(arm),
        "meta": arm,
        "x": [x for x, _ in outline],
        "y": [y for _, y in outline],
        "fill": "toself",
        "fillcolor": f"c:{style.colour}/{opacity}",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _share_trace(label: str, style: AreaStyle, x: list[int], shares: list[Number]) -> Spec:
    colour = f"c:{style.colour}"
    # A label that a look does not name has share zero there; a gap would tear the stack apart.
    trace: Spec = {"name": plotly_text(label), "meta": label, "x": x, "y": [share or 0.0 for share in shares]}
    trace["hovertemplate"] = "%{y:.0%}"
    pattern = {"shape": style.pattern, "bgcolor": colour, "fgcolor": "c:hatch", "size": 6, "solidity": 0.2}
    if len(x) == 1:
        marker = {"color": colour, "line": {"color": "c:card", "width": 1}}
        return trace | {"type": "bar", "width": 1.2, "marker": marker | ({"pattern": pattern} if style.pattern else {})}
    fill = {"fillpattern": pattern} if style.pattern else {"fillcolor": colour}
    # The card's own colour as outline separates neighbours also for readers who see their fills alike.
    return (
        trace
        | fill
        | {"type": "scatter", "mode": "lines", "stackgroup": "one", "line": {"color": "c:card", "width": 1}}
    )


def count_ticks(low: float, high: float) -> list[int]:
    """Whole numbers for the ticks of a logarithmic axis, nine at most where powers of ten suffice."""
    ticks = [tick for tick in _COUNT_TICKS if low <= tick <= high]
    return ticks if len(ticks) <= 9 else [tick for tick in ticks if str(tick)[0] == "1"]


def plain_layout(x_title: str, y_title: str) -> Spec:
    """A layout with two titled axes that a finger does not zoom, and no legend."""
    axis = {
        "gridcolor": "c:grid",
        "linecolor": "c:axis",
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "c:axis",
        "ticklen": 4,
        "fixedrange": True,  # a finger that scrolls the page must not zoom the chart
        "automargin": True,
    }
    spike = {"spikecolor": "c:axis", "spikedash": "solid", "spikethickness": 1}
    return {
        "xaxis": axis
        | spike
        | {"title": {"text": x_title, "standoff": 8, "font": {"size": 13}}, "showgrid": False, "nticks": 7},
        "yaxis": axis
        | {
            "title": {"text": y_title, "standoff": 10, "font": {"size": 13}},
            "showline": False,
            "showspikes": False,
            "tickcolor": "rgba(0,0,0,0)",
            "nticks": 7,
        },
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "c:soft"},
        "hoverlabel": {"bgcolor": "c:card", "bordercolor": "c:axis", "font": {"color": "c:ink"}, "namelength": -1},
        "margin": {"l": 58, "r": 14, "t": 10, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
    }
