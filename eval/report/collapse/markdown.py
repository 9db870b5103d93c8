"""The report as a comment on a pull request: verdict, alarms, a small table, suggested settings as a diff. No HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval.collapse.records import Action
from eval.collapse.run_report import CollapseReport, RunReport
from eval.report.collapse import tables
from eval.report.collapse.drawn import alarm_starts
from eval.report.collapse.page import silence
from eval.report.collapse.wording import STRENGTHS, VERDICTS, alarm_place, changes_of
from eval.report.names import shortened
from eval.report.words import MISSING

MOST_ALARMS = 3
MOST_LABELS = 6
MOST_ACTIONS = 3
_LONGEST = 500  # characters of a sentence that another program wrote
_MARKS = {"good": "✅", "neutral": "ℹ️", "bad": "❌"}


def markdown(report: CollapseReport) -> str:
    """The report's Markdown."""
    parts = [f"# {_text(report.title or 'Format diversity')}"]
    if len(report.runs) > 1:
        rows = tables.comparison_rows(report.runs)
        names = list(dict.fromkeys(name for _, cells in rows for name in cells if name != "verdict"))
        body = [[run.name, run.verdict, *(cells.get(name, MISSING) for name in names)] for run, cells in rows]
        parts.append(_table(["run", "verdict", *names], body))
    for run in report.runs:
        parts += _run_parts(run, with_name=len(report.runs) > 1)
    parts.append("Everything else, with charts: `report.html`; all numbers: `report.json`.")
    return "\n\n".join(parts) + "\n"


def _run_parts(run: RunReport, with_name: bool) -> list[str]:
    words = VERDICTS[run.verdict]
    parts = [f"## {_text(run.name)}"] if with_name else []
    parts.append(f"{_MARKS[words.tone]} **{words.headline}** ({run.verdict}). {_text(run.why or words.meaning)}")
    starts = alarm_starts(run.alarms)
    if starts:
        lines = [f"- **{a.level}**, {alarm_place(a)}: {_text(a.sentence)}" for a in starts[:MOST_ALARMS]]
        if len(starts) > MOST_ALARMS:
            lines.append(f"- and {len(starts) - MOST_ALARMS} more, in the report")
        rests = dict.fromkeys(f"Guarantee: {_text(a.guarantee)} It rests on: {_text(a.assumption)}" for a in starts)
        lines += ["", *rests]
        parts.append("\n".join(["**Alarms**", "", *lines]))
    else:
        num = len(run.looks)
        told = f"**No alarm** in {num:,} {'look' if num == 1 else 'looks'}. {_text(silence(run))}"
        parts.append(told + (f" Guarantee: {_text(run.guarantee)}" if run.guarantee else ""))
    if run.warnings:
        parts.append("\n".join(f"- Warning: {_text(each)}" for each in run.warnings[:MOST_ALARMS]))
    parts += [_numbers(run)] if run.looks else []
    # Those of the last alarm: its settings are the nearest to what the trainer uses now.
    actions = starts[-1].actions[:MOST_ACTIONS] if starts else []
    if actions:
        parts.append(_diff(actions))
    return parts


def _numbers(run: RunReport) -> str:
    found = tables.columns(run)
    places = [0, len(found) - 1] if len(found) > 1 else [0]
    titles = ["base" if run.base else "first look", "now"] if len(places) > 1 else ["now"]
    rows = [row for row in tables.number_rows(run) if row.name.startswith(tables.KEY_ROWS)]
    shares = tables.share_rows(run, tables.top_labels(run, MOST_LABELS))
    named = [(f"share of {row.name}", row) for row in shares] + [(row.name, row) for row in rows]
    last = len(places) > 1
    body = [
        [name, *(row.cells[place].text for place in places), *([row.change] if last else [])] for name, row in named
    ]
    return _table(["", *titles, *(["change"] if last else [])], body) if body else ""


def _diff(actions: Sequence[Action]) -> str:
    lines = []
    for action in actions:
        lines.append(
            f"# {action.trainer}: {_line(action.reason)} ({STRENGTHS[action.strength]}; {_line(action.source)})"
        )
        lines += [f"# caution: {_line(action.caution)}"] if action.caution else []
        for key, now, proposed in changes_of(action):
            lines += [f"- {_line(key)}: {_line(now)}", f"+ {_line(key)}: {_line(proposed)}"]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)  # longer than any inside, or a value could end the block
    return "\n".join(["**What may help** (nothing is changed by itself)", "", f"{fence}diff", *lines, fence])


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *([_text(cell) for cell in row] for row in body)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(text: str) -> str:
    """Any text as one line of Markdown that means nothing else: no markup, no HTML, nobody notified by an @."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", _line(text))
    return re.sub(r"(?<!\w)@(?=\w)", "@\u200b", escaped)


def _line(text: str) -> str:
    """A text on one line, without control characters, cut to a bearable length."""
    return shortened(" ".join("".join(c if c.isprintable() else " " for c in text).split()), _LONGEST)
