"""The charts of a depth report: what loops buy, how the state moves, what stopping costs, who gets which depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from eval.depth.record import DepthReport, GroupRecord, Series
from eval.report.charts import Spec, line_chart, plain_layout, plotly_text
from eval.report.data import Curve, Number
from eval.report.names import distinct, shortened
from eval.report.parts import Chart, ChartGroup, join_charts
from eval.report.styles import LineStyle

#: Quantity in the record -> its name on the page and how it is drawn.
LINES: Mapping[str, tuple[str, LineStyle]] = {
    "cross_entropy": ("cross-entropy", LineStyle("blue", "solid", "circle")),
    "accuracy": ("accuracy", LineStyle("green", "solid", "square")),
    "solved": ("all of a passage right", LineStyle("purple", "dash", "diamond")),
    "rewards": ("reward of generated answers", LineStyle("orange", "dot", "triangle-up")),
    "kl_previous": ("to the loop before", LineStyle("vermillion", "solid", "circle")),
    "kl_capped": ("to the capped output", LineStyle("blue", "dash", "square")),
    "residual": ("residual", LineStyle("vermillion", "solid", "circle")),
    "scale_free_residual": ("residual, scale removed", LineStyle("blue", "dash", "square")),
    "fresh_start_distance": ("distance of two starts", LineStyle("ink", "dot", "diamond")),
    "step_size": ("size of the step", LineStyle("orange", "solid", "circle")),
    "norm_growth": ("size of the state, of the first loop's", LineStyle("purple", "dash", "square")),
    "cosine": ("cosine to the step before", LineStyle("vermillion", "solid", "circle")),
    "contraction": ("step, of the one before", LineStyle("green", "dash", "square")),
    "effective_rank": ("effective rank", LineStyle("blue", "solid", "circle")),
    "token_cosine": ("cosine between tokens", LineStyle("vermillion", "solid", "circle")),
    "head_similarity": ("cosine between heads", LineStyle("purple", "dash", "square")),
    "attention_change": ("KL of the attention to the loop before", LineStyle("green", "solid", "circle")),
    "jacobian_norm": ("norm", LineStyle("vermillion", "solid", "circle")),
    "jacobian_radius": ("radius", LineStyle("blue", "dash", "square")),
}
_STYLES = dict(LINES.values())
_GROUPINGS = ("position", "surprisal", "format", "difficulty")
#: Loops that each get a tick.
MOST_TICKS = 12
_LONGEST = 18  # characters of a kind: more leave no room for its bar on a phone


def gain_charts(report: DepthReport) -> ChartGroup:
    """What each loop buys, the sweet spot marked."""
    losses = _chart(report, "Cross-entropy of the next token", ["cross_entropy"], "nats a token", marks_spot=True)
    unit = "share" if report.rewards is None else "share, reward"
    right = _chart(report, "Right predictions", ["accuracy", "solved", "rewards"], unit, marks_spot=True)
    names, unit = ["kl_previous", "kl_capped"], "KL, nats a token"
    moves = _chart(report, "How far the prediction is away", names, unit, is_log=True)
    return _join([losses, right, moves])


def motion_charts(report: DepthReport) -> ChartGroup:
    """Where the state goes."""
    rest = _chart(report, "Does it come to rest?", ["residual", "scale_free_residual", "fresh_start_distance"], "share")
    size = _chart(report, "Sizes", ["step_size", "norm_growth"], "root mean square")
    turn = _chart(report, "Does it turn back or shrink?", ["cosine", "contraction"], "cosine, ratio")
    jacobian = _chart(report, "Stretch of the next loop", ["jacobian_norm", "jacobian_radius"], "factor")
    return _join([rest, size, turn, jacobian])


def diversity_charts(report: DepthReport) -> ChartGroup:
    """Whether tokens, heads and loops still differ."""
    return _join(
        [
            _chart(report, "Directions that the tokens fill", ["effective_rank"], "effective rank"),
            _chart(report, "How alike tokens and heads are", ["token_cosine", "head_similarity"], "mean cosine"),
            _chart(report, "Change of the attention", ["attention_change"], "nats a query"),
        ]
    )


def calibration_charts(report: DepthReport) -> ChartGroup:
    """What stopping at a tolerance costs, against the loops that it takes."""
    rows = sorted(report.tolerances, key=lambda row: row.mean_depth)
    depth = [row.mean_depth for row in rows]
    kl = Curve(depth, [row.kl for row in rows], [row.kl_lo for row in rows], [row.kl_hi for row in rows])
    accuracy = Curve(depth, [row.accuracy for row in rows])
    charts = []
    for title, name, curve, unit in (
        ("Distance to the capped output", "kl_capped", kl, "KL, nats a token"),
        ("Right predictions", "accuracy", accuracy, "share"),
    ):
        label = LINES[name][0]
        spec = line_chart({label: curve}, _STYLES, "loops a token", unit, compare_at_x=False)
        (line,) = [trace for trace in spec["data"] if "markers" in trace["mode"]]
        line["marker"]["size"] = 8  # every tolerance, for each is a choice
        line["text"] = [f"tolerance {row.tol:g}" for row in rows]
        line["hovertemplate"] = "%{text}: %{y:.4f} at %{x:.2f} loops"
        if name == "kl_capped":
            spec["layout"]["shapes"] = [_level(report.target_kl)]
        charts.append(Chart(title, spec, alt=f"{title}, against loops a token"))
    return _join(charts)


def depth_charts(report: DepthReport) -> ChartGroup:
    """Share of tokens that stop after each loop, by kind of token; deeper is darker."""
    most = max((len(row.shares) for rows in report.groups.values() for row in rows), default=0)
    names = [f"{t} {'loop' if t == 1 else 'loops'}" for t in range(1, most + 1)]
    charts = []
    for by in _GROUPINGS:
        rows = report.groups.get(by, [])
        if rows:
            height = 120 + 34 * len(rows)
            charts.append(Chart(f"By {by}", _bars(rows, names), alt=f"Depths by {by}", height=max(height, 230)))
    legend = [(name, _swatch(_opacity(t, most))) for t, name in enumerate(names)]
    return ChartGroup(charts, legend, wide=True)


def _chart(
    report: DepthReport,
    title: str,
    names: Sequence[str],
    unit: str,
    marks_spot: bool = False,
    is_log: bool = False,
) -> Chart:
    curves = {LINES[name][0]: curve for name in names if (curve := curve_of(report, name)) is not None}
    spec = line_chart(on_log(curves) if is_log else curves, _STYLES, "loops", unit)
    if is_log:
        spec["layout"]["yaxis"] |= {"type": "log", "tickformat": ".0e", "dtick": 1}
    axis = spec["layout"]["xaxis"]
    axis["range"] = [0.7, report.loops + 0.3]
    if report.loops <= MOST_TICKS:
        axis |= {"tickmode": "array", "tickvals": list(range(1, report.loops + 1))}
    if marks_spot:
        spot = report.sweet_spot
        edges = {"x0": spot.lo - 0.12, "x1": spot.hi + 0.12, "y0": 0, "y1": 1, "yref": "paper"}
        line = {"x0": spot.loop, "x1": spot.loop, "y0": 0, "y1": 1, "yref": "paper"}
        spec["layout"]["shapes"] = [
            edges | {"type": "rect", "fillcolor": "c:orange/0.14", "line": {"width": 0}, "layer": "below"},
            line | {"type": "line", "line": {"color": "c:orange", "width": 2, "dash": "dash"}, "layer": "below"},
        ]
    return Chart(title, spec, alt=f"{title}, by loop")


def curve_of(report: DepthReport, name: str) -> Curve | None:
    """A quantity of ``LINES`` over loops; None if it was not measured."""
    if name.startswith("jacobian"):
        rows = report.jacobian
        values = [row.norm if name == "jacobian_norm" else row.radius for row in rows]
        return Curve([row.loop for row in rows], values) if rows else None
    extra = {"solved": report.solved, "rewards": report.rewards}
    series = extra[name] if name in extra else report.series.get(name)
    return None if series is None else as_curve(series)


def as_curve(series: Series) -> Curve:
    """A series over loops 1 to R; of an interval without a single number only the mean is left."""
    x = [float(t) for t in range(1, len(series.mean) + 1)]
    has_band = any(value is not None for value in series.lo or [])
    return Curve(x, series.mean, series.lo, series.hi) if has_band else Curve(x, series.mean)


def on_log(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Curves as a logarithmic axis can show them.

    A mean of 0, such as the capped output's distance to itself, has no place there and is a gap; an interval that
    reaches 0 goes down to the smallest number that is shown.
    """
    shown = [value for curve in curves.values() for value in [*curve.mean, *(curve.lo or ())] if value and value > 0]
    floor = min(shown, default=1.0)

    def positive(curve: Curve) -> Curve:
        is_shown = [value is not None and value > 0 for value in curve.mean]

        def edge(values: Sequence[Number] | None) -> list[Number] | None:
            if values is None:
                return None
            pairs = zip(values, is_shown, strict=True)
            return [max(value, floor) if ok and value is not None else None for value, ok in pairs]

        mean = [value if ok else None for value, ok in zip(curve.mean, is_shown, strict=True)]
        return Curve(curve.x, mean, edge(curve.lo), edge(curve.hi))

    return {name: positive(curve) for name, curve in curves.items()}


def _join(charts: list[Chart]) -> ChartGroup:
    return join_charts(charts, _STYLES, [name for name, _ in LINES.values()])


def _level(value: float) -> Spec:
    line = {"color": "c:orange", "width": 2, "dash": "dash"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line, "layer": "below"}


def _bars(rows: Sequence[GroupRecord], names: Sequence[str]) -> Spec:
    shown = list(reversed(rows))  # Plotly builds upwards
    # By place and not by label: labels that look alike once they are cut would share a bar.
    places = list(range(len(shown)))
    labels = [plotly_text(each) for each in reversed(distinct(shortened(row.name, _LONGEST) for row in rows))]
    data = []
    for t, name in enumerate(names):
        shares = [row.shares[t] if t < len(row.shares) else 0.0 for row in shown]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "meta": name,
                "x": shares,
                "y": places,
                "text": [plotly_text(row.name) for row in shown],
                "textposition": "none",
                "customdata": [row.mean_depth for row in shown],
                "marker": {"color": f"c:blue/{_opacity(t, len(names)):.2f}", "line": {"color": "c:card", "width": 1}},
                "hovertemplate": f"%{{text}}, {name}: %{{x:.1%}} (mean %{{customdata:.2f}})",
            }
        )
    layout = plain_layout("share of tokens", "kind of token")
    layout["xaxis"] |= {"range": [0, 1], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    layout["yaxis"] |= {"tickvals": places, "ticktext": labels, "range": [-0.6, len(shown) - 0.4], "showgrid": False}
    layout |= {"barmode": "stack", "hovermode": "closest"}
    return {"data": data, "layout": layout}


def _opacity(t: int, most: int) -> float:
    """Deeper is darker; the shallowest is still seen."""
    return 0.15 + 0.85 * (t / (most - 1) if most > 1 else 1.0)


def _swatch(opacity: float) -> Markup:
    return Markup(
        '<span class="swatch" style="background:var(--c-blue);opacity:{:.2f}" aria-hidden="true"></span>'
    ).format(opacity)
