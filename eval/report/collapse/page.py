"""The report as one HTML page: of a run, everything; of several, first the comparison and then each run in a fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.collapse.records import AlarmRecord
from eval.collapse.run_report import CollapseReport, Example, RunReport
from eval.report.charts import line_chart
from eval.report.collapse import diversity, evidence, outcomes, tables, wording
from eval.report.collapse.drawn import alarm_starts, drawing_notes, drawn_looks, marked_alarms
from eval.report.collapse.labels import Palette, facets_of, palette, seen
from eval.report.collapse.steps import area_chart, step_chart
from eval.report.names import distinct, shortened
from eval.report.parts import Chart, ChartGroup, fill_template, join_charts
from eval.report.styles import arm_styles
from eval.report.words import MISSING

MOST_SHOWN_ALARMS = 4  # the others stand in a fold
_WHEN = {"base": "base model", "alarm": "at the alarm", "last": "last look"}
_LONG_TEXT = 700  # characters of an example that are shown at once


@dataclass(frozen=True)
class RunView:
    """What the template reads of a run."""

    run: RunReport
    number: int
    verdict: wording.VerdictWords
    facts: list[str]
    alarms: list[AlarmRecord]
    columns: list[str]
    key_numbers: list[tables.Row]
    numbers: list[tables.Row]
    shares: list[tables.Row]
    palettes: dict[str, Palette]
    groups: dict[str, ChartGroup]
    areas: dict[str, ChartGroup]
    watched: list[tables.Watched]
    settings: dict[int, str]
    silence: str
    gallery: dict[str, list[tuple[str, list[Example]]]]
    notes: list[str]


def render(report: CollapseReport) -> str:
    """The page's text.

    Raises:
        ValueError: The report holds no run.
    """
    if not report.runs:
        raise ValueError("the report holds no run: expected one at least. Give it the report of a run that was read.")
    palettes = {facet: palette(report.runs, facet) for facet in facets_of(report.runs)}
    views = [_view(run, number, palettes) for number, run in enumerate(report.runs)]
    is_comparison = len(report.runs) > 1
    compared = _compared(report.runs, palettes) if is_comparison else {}
    rows = tables.comparison_rows(report.runs) if is_comparison else []
    return fill_template(
        "collapse.html.j2",
        any(compared.values()) or any(any({**view.groups, **view.areas}.values()) for view in views),
        report=report,
        views=views,
        compared=compared,
        rows=rows,
        compared_columns=list(dict.fromkeys(name for _, cells in rows for name in cells)),
        styles=arm_styles(["base", *_names(report.runs)]),
        names=_names(report.runs),
        wording=wording,
        shortened=shortened,
        glossary=wording.GLOSSARY,
        missing=MISSING,
        when=_WHEN,
        long_text=_LONG_TEXT,
        most_alarms=MOST_SHOWN_ALARMS,
    )


def _view(run: RunReport, number: int, palettes: Mapping[str, Palette]) -> RunView:
    own = {facet: each for facet, each in palettes.items() if any(facet in look.shares for look in seen(run))}
    first = palettes.get("format") or next(iter(palettes.values()), None)
    rows = tables.number_rows(run)
    alarmed = {alarm.look for alarm in run.alarms}
    groups = {
        "accuracy": outcomes.accuracy_chart(run, first) if first else ChartGroup([], []),
        "accuracy over steps": outcomes.accuracy_over_steps(run, first) if first else ChartGroup([], []),
        "effective": diversity.effective_group(run),
        "pass": outcomes.pass_group(run),
        "evidence": evidence.evidence_group(run),
        "forecast": evidence.forecast_group(run),
        "narrowing": diversity.narrowing_group(run),
        "measures": diversity.measures_group(run),
        "best": diversity.best_group(run),
        "depth": diversity.depth_group(run),
    }
    return RunView(
        run=run,
        number=number,
        verdict=wording.VERDICTS[run.verdict],
        facts=_facts(run),
        alarms=alarm_starts(run.alarms),
        columns=[title for title, _ in tables.columns(run)],
        key_numbers=[row for row in rows if row.name.startswith(tables.KEY_ROWS)],
        numbers=[row for row in rows if not row.name.startswith(tables.KEY_ROWS)],
        shares=tables.share_rows(run, own["format"]) if "format" in own else [],
        palettes=own,
        groups=groups,
        areas={facet: _areas([run], each, [""]) for facet, each in own.items()},
        watched=tables.watched(run),
        settings={look.number: wording.settings_text(look.settings) for look in run.looks if look.number in alarmed},
        silence=silence(run),
        gallery=_gallery(run),
        notes=drawing_notes(run),
    )


def silence(run: RunReport) -> str:
    """What it means that no alarm was raised: how near the evidence came, and what one look could have shown."""
    if not run.looks:
        return "No look was taken, so nothing can be said."
    told = [evidence.evidence_text(run)]
    rows = [row for row in tables.watched(run) if row.seen_from not in (MISSING, "no single look")]
    if rows:
        row = min(rows, key=lambda each: float(each.seen_from) - each.quantity.bound)
        told.append(
            f"With {run.looks[-1].num_prompts:,} prompts, a single look would have been enough for a rise of "
            f"“{row.quantity.name}” from its bound {row.quantity.bound:.2f} to about {row.seen_from}; smaller rises "
            "may need several looks, and one that stays below the bound raises no alarm at all."
        )
    return " ".join(told)


def _facts(run: RunReport) -> list[str]:
    facts = [f"{run.num_samples:,} samples from {run.source}"]
    if run.looks:
        steps = (run.looks[0].step, run.looks[-1].step)
        span = f"step {steps[0]:,}" if steps[0] == steps[1] else f"steps {steps[0]:,} to {steps[1]:,}"
        facts.append(f"{len(run.looks):,} {'look' if len(run.looks) == 1 else 'looks'}, {span}")
    facts.append(f"measured against the {run.reference}")
    facts.append(
        {"fresh": "fresh prompts at each look", "panel": "the same prompts at each look"}.get(run.prompts, run.prompts)
    )
    facts.append(f"correct: {run.correctness}" if run.correctness else "nothing says what is correct")
    return [fact for fact in facts if fact]


def _names(runs: Sequence[RunReport]) -> list[str]:
    """Names of the runs, each its own, and none of them that of the base model's line."""
    return distinct((run.name or f"run {number}" for number, run in enumerate(runs, start=1)), reserved=["base"])


def _areas(runs: Sequence[RunReport], labels: Palette, titles: Sequence[str]) -> ChartGroup:
    """Stacked shares of a facet, a chart a run, on one axis."""
    steps = [look.step for run in runs for look in run.looks if labels.facet in look.shares]
    charts = []
    for run, title in zip(runs, titles, strict=True):
        looks = [look for look in drawn_looks(run) if labels.facet in look.shares]
        if not looks:
            continue
        alarms = [alarm.step for alarm in marked_alarms(run)]
        spec = area_chart(looks, run.base, labels, steps, alarms)
        first = run.base if run.base and labels.facet in run.base.shares else looks[0]
        before, after = labels.shares_of(first), labels.shares_of(looks[-1])
        words = [
            f"{label} {wording.percent(before[label])} to {wording.percent(after[label])}" for label in labels.styles
        ]
        alt = f"Shares by step, {'base' if first is run.base else 'first look'} to last look: {', '.join(words)}."
        charts.append(Chart(title or f"Shares by {labels.facet}", spec, small=len(runs) > 1, alt=alt))
    return (
        ChartGroup(charts, [(label, style.sample) for label, style in labels.styles.items()])
        if charts
        else ChartGroup([], [])
    )


def _compared(runs: Sequence[RunReport], palettes: Mapping[str, Palette]) -> dict[str, ChartGroup]:
    names = _names(runs)
    styles = arm_styles(["base", *names])
    number = {name: diversity.effective_curves(run, "format") for name, run in zip(names, runs, strict=True)}
    charts = []
    for which, title in (("alpha", "Effective formats within a prompt: alpha"), ("gamma", "Effective formats: gamma")):
        curves = {name: each[which] for name, each in number.items()}
        chart = step_chart(curves, styles, "effective number")
        diversity.from_one(chart["layout"], curves, {})
        charts.append(Chart(title, chart, alt=f"{title}, of {', '.join(names)}."))
    lasts = {name: outcomes.pass_curves(run).get("last look") for name, run in zip(names, runs, strict=True)}
    curves = {name: curve for name, curve in lasts.items() if curve is not None}
    bases = [base for run in runs if (base := outcomes.pass_curves(run).get("base")) and base.x]
    if bases and "base" not in curves:
        curves = {"base": bases[0], **curves}
    spec = line_chart(curves, styles, "samples k", "pass@k, last look", counts_on_log_x=True)
    spec["layout"]["yaxis"]["tickformat"] = ".0%"
    charts.append(
        Chart(
            "pass@k at the last look", outcomes.at_each_k(spec), alt=f"pass@k at the last look, of {', '.join(curves)}."
        )
    )
    first = palettes.get("format") or next(iter(palettes.values()), None)
    return {
        "shares": _areas(runs, first, names) if first else ChartGroup([], []),
        "numbers": join_charts(charts, styles, ["base", *names]),
    }


def _gallery(run: RunReport) -> dict[str, list[tuple[str, list[Example]]]]:
    """Title -> (label, its examples in the order base, alarm, last)."""
    order = list(_WHEN)
    found: dict[str, dict[tuple[str, str], list[Example]]] = {"medoid": {}, "suppressed": {}}
    for example in run.examples:
        found[example.kind].setdefault((example.facet, example.label), []).append(example)
    titles = {"medoid": "Typical samples", "suppressed": "Correct, in a format that was given up"}

    def name(facet: str, label: str) -> str:
        return label if facet == "format" else f"{facet}: {label}"

    return {
        titles[kind]: [
            (name(*key), sorted(examples, key=lambda each: order.index(each.when))) for key, examples in groups.items()
        ]
        for kind, groups in found.items()
        if groups
    }
