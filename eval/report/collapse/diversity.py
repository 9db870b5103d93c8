"""How many formats are left, beside the token entropy that does not show it, and every other measure of diversity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.collapse.records import LookRecord, Range
from eval.collapse.run_report import RunReport
from eval.report.charts import line_chart
from eval.report.collapse.drawn import drawn_looks, marked_alarms
from eval.report.collapse.outcomes import PASS_STYLES, at_each_k
from eval.report.collapse.steps import look_line, panels, step_chart
from eval.report.collapse.wording import plain
from eval.report.data import Curve, Number, finite
from eval.report.parts import Chart, ChartGroup, join_charts
from eval.report.styles import LineStyle, arm_styles

# Title, unit, and what it reads of a look.
_MEASURES: tuple[tuple[str, str, Callable[[LookRecord], Number]], ...] = (
    ("Distance of rewards: pool L1", "mean L1 distance", lambda look: look.pool_l1),
    ("Reward space covered", "hypervolume", lambda look: look.hypervolume),
    ("Different texts a prompt", "distinct texts", lambda look: look.distinct),
    ("Unlike texts a prompt: Vendi", "Vendi score", lambda look: look.vendi),
    ("Cut off by the length limit", "share truncated", lambda look: look.truncated),
    ("Length of a sample", "generated tokens", lambda look: look.tokens),
)
HILL = {
    "gamma": LineStyle("blue", "solid", "diamond"),
    "alpha": LineStyle("vermillion", "solid", "square"),
    "beta": LineStyle("green", "dash", "circle"),
}
_MOST_BAND = 1.6  # of the highest line: how far up a chart of effective numbers goes for the sake of a band
_ALONE = LineStyle("blue", "solid", "circle")
_ENTROPY = LineStyle("purple", "solid", "circle")


def effective_group(run: RunReport, facet: str = "format") -> ChartGroup:
    """Effective numbers of a facet, above the token entropy on the same axis."""
    curves = effective_curves(run, facet)
    alarms = _alarm_steps(run)
    base = _base_numbers(run, facet)
    top = step_chart(curves, HILL, "effective number", base=base, alarms=alarms)
    from_one(top["layout"], curves, base)
    entropy = {"token entropy": look_line(drawn_looks(run), lambda look: look.entropy)}
    level = {"token entropy": run.base.entropy if run.base else None}
    below = step_chart(entropy, {"token entropy": _ENTROPY}, "nats a token", base=level, alarms=alarms)
    if not top["data"]:
        return ChartGroup([], [])
    spec = panels([(top, 0.64), (below, 0.36)])
    words = f"Effective number of {facet}s by step. " + " ".join(_change_words(*each) for each in curves.items())
    words += "".join(" " + _change_words(*each) for each in entropy.items())
    title = f"Effective number of {facet}s" + (", and token entropy" if below["data"] else "")
    height = 470 if below["data"] else 340
    return join_charts(
        [Chart(title, spec, alt=words, height=height)], HILL | {"token entropy": _ENTROPY}, [*HILL, "token entropy"]
    )


def effective_curves(run: RunReport, facet: str) -> dict[str, Curve]:
    """gamma, alpha (with its band) and beta of a facet by step."""
    looks = [look for look in drawn_looks(run) if facet in look.effective]

    def alpha(look: LookRecord) -> Range | None:
        found = look.effective[facet]
        return None if found.alpha is None else Range(found.alpha, found.alpha_lo, found.alpha_hi)

    return {
        "gamma": look_line(looks, lambda look: look.effective[facet].gamma),
        "alpha": look_line(looks, alpha),
        "beta": look_line(looks, lambda look: look.effective[facet].beta),
    }


def narrowing_group(run: RunReport, without: str = "format") -> ChartGroup:
    """Effective numbers of the other facets: whether samples grow alike within a format."""
    facets = dict.fromkeys(facet for look in run.looks for facet in look.effective if facet != without)
    styles = {name: style for name, style in HILL.items() if name != "beta"}
    charts = []
    for facet in facets:
        curves = {name: curve for name, curve in effective_curves(run, facet).items() if name in styles}
        base = _base_numbers(run, facet)
        spec = step_chart(curves, styles, "effective number", base=base, alarms=_alarm_steps(run))
        from_one(spec["layout"], curves, base)
        words = f"Effective number of {facet}. " + " ".join(_change_words(*each) for each in curves.items())
        charts.append(Chart(facet.capitalize(), spec, small=True, alt=words))
    return join_charts(charts, styles, styles)


def measures_group(run: RunReport) -> ChartGroup:
    """Diversity of rewards and texts, truncation and length by step."""
    looks, alarms = drawn_looks(run), _alarm_steps(run)
    charts = []
    for title, unit, value_of in _MEASURES:
        curves = {title: look_line(looks, value_of)}
        base = {title: value_of(run.base) if run.base else None}
        spec = step_chart(curves, {title: _ALONE}, unit, base=base, alarms=alarms, from_zero=True)
        per_prompt = next((look.samples_a_prompt for look in reversed(looks) if look.samples_a_prompt), None)
        if unit == "distinct texts" and per_prompt:
            spec["layout"]["yaxis"]["title"]["text"] += f", of {plain(per_prompt, 0)}"
        if unit.startswith("share"):
            spec["layout"]["yaxis"]["tickformat"] = ".0%"
        charts.append(Chart(title, spec, small=True, alt=_change_words(*next(iter(curves.items())))))
    return ChartGroup([chart for chart in charts if chart.spec["data"]], [])


def best_group(run: RunReport) -> ChartGroup:
    """Reward of the best of k samples: at the base, the first and the last look."""
    fields: tuple[tuple[str, Callable[[LookRecord], dict[str, float]]], ...] = (
        ("Best of k under fixed weights", lambda look: look.best_at_k),
        ("Best of k under random weights: E_w[best@k]", lambda look: look.expected_best_at_k),
    )
    charts = []
    for title, values_of in fields:
        measured = [look for look in run.looks if values_of(look)]
        looks = {"base": run.base} if run.base and values_of(run.base) else {}
        looks |= {"first look": measured[0]} if len(measured) > 1 else {}
        looks |= {"last look": measured[-1]} if measured else {}
        curves = {name: _by_k(values_of(look)) for name, look in looks.items()}
        spec = line_chart(curves, PASS_STYLES, "samples k", "reward of the best", counts_on_log_x=True)
        charts.append(Chart(title, at_each_k(spec), small=True, alt=f"{title}, {', '.join(curves)}."))
    return join_charts(charts, PASS_STYLES, PASS_STYLES)


def depth_group(run: RunReport) -> ChartGroup:
    """Loops that a looped policy spends a token, by format."""
    looks = [look for look in drawn_looks(run) if look.depth]
    names = list(dict.fromkeys(name for look in looks for name in look.depth))[:8]
    styles = arm_styles(names)
    curves = {name: look_line(looks, lambda look, name=name: look.depth.get(name)) for name in names}  # type: ignore[misc]
    base = {name: run.base.depth.get(name) if run.base else None for name in names}
    spec = step_chart(curves, styles, "loops a token", base=base, alarms=_alarm_steps(run))
    words = "Loops a token by format. " + " ".join(_change_words(*each) for each in curves.items())
    return join_charts([Chart("Depth by format", spec, alt=words)], styles, names)


def _base_numbers(run: RunReport, facet: str) -> dict[str, Number]:
    found = run.base.effective.get(facet) if run.base else None
    return {"gamma": found.gamma, "alpha": found.alpha, "beta": found.beta} if found else {}


def _by_k(values: dict[str, float]) -> Curve:
    pairs = sorted((int(k), value) for k, value in values.items())
    return Curve([k for k, _ in pairs], [value for _, value in pairs])


def _alarm_steps(run: RunReport) -> Sequence[int]:
    return [alarm.step for alarm in marked_alarms(run)]


def from_one(layout: dict[str, dict[str, object]], curves: dict[str, Curve], base: dict[str, Number]) -> None:
    """Start at one, which is where a facet has collapsed, and reach up to where it began.

    Bands may leave the chart: with few prompts they are wide, and would press the lines flat.
    """
    lines = [value for curve in curves.values() for value in curve.mean if value is not None]
    lines += [value for name, value in base.items() if value is not None and name in curves]
    edges = [value for curve in curves.values() for value in curve.hi or () if value is not None]
    values = [*lines, *edges]
    high = min(max([*values, 1.5]), _MOST_BAND * max([*lines, 1.5]))
    layout["yaxis"]["range"] = [min([*values, 1.0]) - 0.04 * (high - 1), high + 0.06 * (high - 1)]


def _change_words(name: str, curve: Curve) -> str:
    measured = [value for value in curve.mean if finite(value) is not None]
    return f"{name}: {plain(measured[0])} first, {plain(measured[-1])} last." if measured else ""
