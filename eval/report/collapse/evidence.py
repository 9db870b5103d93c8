"""The evidence behind the alarms, look after look, and where the shares are heading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eval.collapse.records import AlarmRecord, LookRecord
from eval.collapse.run_report import RunReport
from eval.report.charts import Spec, plotly_text
from eval.report.collapse.drawn import drawn_looks, marked_alarms
from eval.report.collapse.steps import look_line, step_chart
from eval.report.collapse.wording import alarm_place, number, plain, settings_text
from eval.report.data import Curve
from eval.report.parts import Chart, ChartGroup, join_charts
from eval.report.styles import LineStyle, arm_styles

MOST_QUANTITIES = 6
TOGETHER = "all together"
THRESHOLD = "threshold"
_ALONE = LineStyle("ink", "solid", "circle")  # the one line of a chart
_COUNTED_SETTINGS = ("learning_rate", "beta", "temperature")  # these first


def evidence_group(run: RunReport) -> ChartGroup:
    """The logarithm of the evidence of each watched quantity, of all together, and the threshold of an alarm."""
    looks = [look for look in drawn_looks(run) if look.evidence or look.log_evidence is not None]
    names = strongest(run)[:MOST_QUANTITIES]
    curves = {name: look_line(looks, lambda look, name=name: look.evidence.get(name)) for name in names}  # type: ignore[misc]
    curves[TOGETHER] = look_line(looks, lambda look: look.log_evidence)
    curves[THRESHOLD] = look_line(looks, lambda look: look.log_threshold)
    styles: dict[str, LineStyle] = {TOGETHER: _ALONE, THRESHOLD: LineStyle("bad", "dashdot", "x")}
    styles |= {name: style for name, style in arm_styles(["base", "grpo", *names]).items() if name in names}
    marks = marked_alarms(run)
    spec = step_chart(curves, styles, "log evidence (nats)", alarms=[alarm.step for alarm in marks])
    for trace in spec["data"]:
        trace["hovertemplate"] = "%{y:.2f}"
        if trace["meta"] == THRESHOLD:
            trace["marker"]["size"] = 0
            trace["mode"] = "lines"
    if not spec["data"]:
        return ChartGroup([], [])
    _keep_readable(spec, curves, looks)
    if marks:
        spec["data"].append(_alarm_marks(marks, {look.number: look for look in run.looks}))
    return join_charts(
        [Chart("Log evidence by step", spec, alt=evidence_text(run))], styles, [TOGETHER, THRESHOLD, *names]
    )


def strongest(run: RunReport) -> list[str]:
    """Watched quantities that have evidence, the one that reached most first."""
    peaks: dict[str, float] = {}
    for look in run.looks:
        for name, value in look.evidence.items():
            peaks[name] = max(peaks.get(name, -math.inf), value)
    return sorted(peaks, key=lambda name: -peaks[name])


def evidence_text(run: RunReport) -> str:
    """How near the evidence came to an alarm, in a sentence."""
    reached = [(look.log_evidence, look) for look in run.looks if look.log_evidence is not None]
    needed = next((look.log_threshold for look in reversed(run.looks) if look.log_threshold is not None), None)
    if not reached or needed is None:
        return "No evidence was recorded."
    value, look = max(reached, key=lambda pair: pair[0])
    return f"The log evidence reached {plain(value, 1)} at step {look.step:,}; an alarm needs {plain(needed, 1)}."


def forecast_group(run: RunReport) -> ChartGroup:
    """Log-odds of the label that gained most."""
    if run.forecast is None:
        return ChartGroup([], [])
    leader = run.forecast.leader
    facet = next(
        (facet for facet in _facets(run) if any(leader in look.shares.get(facet, {}) for look in run.looks)), ""
    )
    looks = [look for look in drawn_looks(run) if leader in look.shares.get(facet, {})]
    curve = look_line(looks, lambda look: _log_odds(look.shares[facet][leader].est))
    base_share = run.base.shares.get(facet, {}).get(leader) if run.base else None
    base = {leader: _log_odds(base_share.est) if base_share else None}
    spec = step_chart(
        {leader: curve}, {leader: _ALONE}, "log-odds", base=base, alarms=[a.step for a in marked_alarms(run)]
    )
    if not spec["data"]:
        return ChartGroup([], [])
    spec["data"][-1]["hovertemplate"] = "%{y:.2f}"
    goal = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": _log_odds(0.95), "y1": _log_odds(0.95)}
    spec["layout"]["shapes"] += [goal | {"line": {"color": "c:axis", "width": 1.5, "dash": "dot"}}]
    title = f"Log-odds of “{leader}” against all others"
    return ChartGroup([Chart(title, spec, alt=f"{title}. {run.forecast.sentence}")], [])


def _facets(run: RunReport) -> list[str]:
    found = dict.fromkeys(facet for look in run.looks for facet in look.shares)
    return sorted(found, key=lambda facet: facet != "format")


def _log_odds(share: float) -> float | None:
    return math.log(share / (1 - share)) if 0 < share < 1 else None


def _keep_readable(spec: Spec, curves: Mapping[str, Curve], looks: Sequence[LookRecord]) -> None:
    """Cut off the depths: evidence against a change falls without end, and would press the rest against the top."""
    values = [value for curve in curves.values() for value in curve.mean if value is not None]
    thresholds = [look.log_threshold for look in looks if look.log_threshold is not None]
    floor = -2 * max([*thresholds, 2.5])
    if values and min(values) < floor:
        top = max([*values, 0.0])
        spec["layout"]["yaxis"]["range"] = [floor, top + 0.06 * (top - floor)]


def _alarm_marks(alarms: Sequence[AlarmRecord], looks: Mapping[int, LookRecord]) -> Spec:
    def words(alarm: AlarmRecord) -> str:
        look = looks.get(alarm.look)
        known: Mapping[str, Any] = look.settings if look else {}
        order = sorted(known, key=lambda key: (key not in _COUNTED_SETTINGS, key))[:6]
        lines = [f"{alarm.level} alarm, {alarm_place(alarm)}", ", ".join(alarm.quantities)]
        lines.append(settings_text({key: known[key] for key in order}))
        return "<br>".join(plotly_text(line) for line in lines if line)

    return {
        "type": "scatter",
        "mode": "markers",
        "name": "alarm",
        "meta": TOGETHER,
        "x": [alarm.step for alarm in alarms],
        "y": [number(alarm.log_evidence) for alarm in alarms],
        "text": [words(alarm) for alarm in alarms],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": "triangle-down", "size": 13, "color": "c:bad", "line": {"color": "c:card", "width": 1}},
    }
