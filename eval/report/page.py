"""Puts a report's parts into one HTML file that needs no network: styles, script, data and Plotly stand inside it.

The page forbids itself any request by a content security policy, so "no network" is enforced by the browser and is not
a promise. All strings of the report are escaped, by jinja in HTML and by ``plotly_text`` in charts; the only markup
taken as it is are the gallery's own SVG drawings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from eval.report import words
from eval.report.charts import line_chart, look_curve, share_chart
from eval.report.data import METRICS, Curve, DemoReport, LookPoint, Number
from eval.report.files import write_files
from eval.report.parts import Chart, ChartGroup, fill_template, join_charts
from eval.report.styles import AreaStyle, LineStyle, area_styles, arm_styles, policy_of, search_styles

# Price metrics with the words beside their bars.
_PRICE = (
    ("best@1", "Quality of a single answer", "best@1 under w*, 0 to 1"),
    ("completion share", "Answers that reach the exit", "share of all answers"),
    ("generated tokens", "Tokens generated", "over the whole training"),
    ("seconds", "Time", "seconds of training"),
)


@dataclass(frozen=True)
class Bar:
    """One arm's bar: ``percent`` of the widest."""

    arm: str
    colour: str
    text: str
    percent: float


def render(report: DemoReport) -> str:
    """Turn a report into the text of one self-contained HTML page."""
    arms = arm_styles(_all_arms(report))
    groups = _chart_groups(report, arms)
    return fill_template(
        "report.html.j2",
        any(groups.values()),
        report=report,
        headline=words.headline(report),
        price_sentence=words.price_sentence(report),
        glossary=words.GLOSSARY,
        missing=words.MISSING,
        groups=groups,
        columns=_columns(report),
        column_note=words.column_note,
        time_text=words.time_text,
        number_text=words.number_text,
        prices=_prices(report, arms),
        gallery=[(item, {arm: scalable_svg(svg) for arm, svg in item.panels.items()}) for item in report.gallery],
        arms=arms,
        verdicts=sorted(report.verdicts, key=lambda verdict: verdict.ok),  # what fell short comes first
        num_short=sum(not verdict.ok for verdict in report.verdicts),
    )


def write(report: DemoReport, path: str | Path) -> None:
    """Write the page to ``path`` and the report's JSON beside it (same name, ``.json``), each whole or not at all.

    Raises:
        ValueError: ``path`` does not end in .html.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"the report's path is {str(path)!r}: expected a name ending in .html. Try {path.with_suffix('.html')}."
        )
    write_files({path.with_suffix(".json"): report.to_json(), path: render(report)})


def scalable_svg(svg: str) -> Markup:
    """Let an ``<svg>`` scale with its frame: turn its fixed width and height into a view box, if it has none."""
    head = re.search(r"<svg\b[^>]*>", svg)
    if head is None:
        raise ValueError(f"a gallery panel is {svg[:40]!r}: expected an <svg> element. Pass the drawing's markup.")
    tag = head.group()
    sizes = {name: re.search(rf"\s{name}=[\"']([\d.]+)(?:px)?[\"']", tag) for name in ("width", "height")}
    width, height = sizes["width"], sizes["height"]
    if width and height:
        if "viewBox" not in tag:
            tag = (
                tag[:-1].rstrip("/") + f' viewBox="0 0 {width[1]} {height[1]}"' + ("/>" if tag.endswith("/>") else ">")
            )
        tag = tag.replace(width[0], "").replace(height[0], "")
    # An XML declaration or comment before the element would show as text or be an error inside HTML.
    return Markup(tag + svg[head.end() :])


def _chart_groups(report: DemoReport, arms: dict[str, LineStyle]) -> dict[str, ChartGroup]:
    answers, score = "number of answers k", "reward of the best, 0 to 1"
    best = {
        "Judged by the fixed taste w*": report.best_at_k,
        "Judged by a random taste (E_w)": report.expected_best_at_k,
    }
    searches = search_styles(report.search, arms)
    tokens = {key: curve.tokens for key, curve in report.search.items()}
    evaluated = {key: curve.answers for key, curve in report.search.items()}
    return {
        "best": join_charts(
            [
                Chart(title, line_chart(curves, arms, answers, score, counts_on_log_x=True))
                for title, curves in best.items()
            ],
            arms,
            [arm for curves in best.values() for arm in curves],
        ),
        "diversity": _lookjoin_charts(
            report,
            arms,
            {
                "pool_l1": ("How far apart: pool L1", "mean L1 distance"),
                "distinct": ("How many different answers", "distinct answers"),
            },
            from_zero=True,  # zero means that all answers are the same: how near it lies is the point
        ),
        "kinds": _share_group(report, "shares"),
        "formats": _share_group(report, "format_shares"),
        "progress": _lookjoin_charts(
            report,
            arms,
            {
                "best_at_1": ("One answer, fixed taste: best@1", "reward, 0 to 1"),
                "set_reward": ("A set of answers, random tastes: set reward", "set reward, 0 to 1"),
            },
            from_zero=False,
        ),
        "search": join_charts(
            [
                Chart(
                    "By generated tokens", line_chart(tokens, searches, "tokens per maze", score, compare_at_x=False)
                ),
                Chart(
                    "By evaluated answers",
                    line_chart(evaluated, searches, "answers per maze", score, compare_at_x=False),
                ),
            ],
            searches,
            searches,
        ),
    }


def _lookjoin_charts(
    report: DemoReport, arms: dict[str, LineStyle], quantities: dict[str, tuple[str, str]], *, from_zero: bool
) -> ChartGroup:
    charts = []
    for quantity, (title, unit) in quantities.items():
        curves: dict[str, Curve] = {arm: look_curve(looks, quantity) for arm, looks in report.looks.items()}
        charts.append(Chart(title, line_chart(curves, arms, "training step", unit, from_zero=from_zero)))
    return join_charts(charts, arms, report.looks)


def _share_group(report: DemoReport, field: str) -> ChartGroup:
    def shares_of(look: LookPoint) -> Mapping[str, Number]:
        shares: Mapping[str, Number] = getattr(look, field)
        return shares

    looks = {arm: [look for look in looks if shares_of(look)] for arm, looks in report.looks.items()}
    looks = {arm: found for arm, found in looks.items() if found}
    steps = [look.step for found in looks.values() for look in found]
    totals: dict[str, float] = {}
    for found in looks.values():
        for look in found:
            for label, share in shares_of(look).items():
                totals[label] = totals.get(label, 0.0) + (share or 0.0) / len(found)
    # Largest at the bottom, where an area stands on a straight line and is read best; ties keep their order.
    styles: dict[str, AreaStyle] = area_styles(sorted(totals, key=lambda label: -totals[label]))
    charts = [
        Chart(arm, share_chart(found, styles, shares_of, (min(steps), max(steps))), small=True)
        for arm, found in looks.items()
    ]
    return ChartGroup(charts, [(label, style.sample) for label, style in styles.items()])


def _columns(report: DemoReport) -> list[str]:
    """Metrics that at least one arm has, the known ones first."""
    present = {name: None for row in report.table for name, value in row.metrics.items() if value is not None}
    return [name for name in METRICS if name in present] + [name for name in present if name not in METRICS]


def _prices(report: DemoReport, arms: dict[str, LineStyle]) -> list[tuple[str, str, list[Bar]]]:
    prices = []
    for metric, title, unit in _PRICE:
        values = {row.arm: value for row in report.table if (value := row.metrics.get(metric)) is not None}
        if not values:
            continue
        full = 1.0 if metric in ("best@1", "completion share") else max(values.values())
        bars = [
            Bar(
                arm,
                arms[arm].colour,
                words.number_text(metric, value),
                100 * min(max(value / full, 0.0), 1.0) if full > 0 else 0.0,
            )
            for arm, value in values.items()
        ]
        prices.append((title, unit, bars))
    return prices


def _all_arms(report: DemoReport) -> list[str]:
    found: list[Any] = [
        *report.best_at_k,
        *report.expected_best_at_k,
        *(row.arm for row in report.table),
        *report.looks,
    ]
    found += [policy_of(key) for key in report.search]
    return found + [arm for item in report.gallery for arm in item.panels]
