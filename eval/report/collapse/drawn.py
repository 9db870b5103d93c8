"""Which looks and alarms of a long run are drawn: about two hundred looks, and where each series of alarms begins.

A screen has no more columns to show, and Plotly slows down. Half of the looks that are kept lie evenly and half evenly
in the logarithm, because collapse is often over early; tables and ``report.json`` hold all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval.collapse.records import AlarmRecord, LookRecord
from eval.collapse.run_report import RunReport

MOST_LOOKS = 200
MOST_ALARMS = 12  # lines in one chart that can still be told apart
_APART = 0.02  # of the run: nearer lines run together on a narrow chart


def drawn_looks(run: RunReport, most: int = MOST_LOOKS) -> list[LookRecord]:
    """The looks to draw, in order: all, or about ``most`` of them with the first, the last and the marked alarms'."""
    if len(run.looks) <= most:
        return list(run.looks)
    last = len(run.looks) - 1
    parts = most // 2 - 1
    evenly = {round(last * part / parts) for part in range(parts + 1)}
    early = {round((last + 1) ** (part / parts)) - 1 for part in range(parts + 1)}
    alarmed = {alarm.look for alarm in marked_alarms(run)}
    chosen = evenly | early | {place for place, look in enumerate(run.looks) if look.number in alarmed}
    return [run.looks[place] for place in sorted(chosen)]


def alarm_starts(alarms: Sequence[AlarmRecord]) -> list[AlarmRecord]:
    """The first alarm of each unbroken series of looks, and the one at which a series first becomes critical."""
    starts: list[AlarmRecord] = []
    previous: AlarmRecord | None = None
    for alarm in alarms:
        is_new = previous is None or alarm.look > previous.look + 1
        if is_new or (alarm.level == "critical" and starts[-1].level != "critical"):
            starts.append(alarm)
        previous = alarm
    return starts


def marked_alarms(run: RunReport) -> list[AlarmRecord]:
    """The alarms that charts mark: where series begin, apart enough to be seen apart, and the first critical one."""
    starts = alarm_starts(run.alarms)
    span = run.looks[-1].step - run.looks[0].step if run.looks else 0
    marked: list[AlarmRecord] = []
    for alarm in starts:
        is_apart = not marked or alarm.step - marked[-1].step >= _APART * span
        is_first_critical = alarm.level == "critical" and all(each.level != "critical" for each in marked)
        if len(marked) < MOST_ALARMS and (is_apart or is_first_critical):
            marked.append(alarm)
    return marked


def drawing_notes(run: RunReport) -> list[str]:
    """What the charts leave out, in sentences; empty if nothing."""
    notes = []
    num_drawn, num_looks = len(drawn_looks(run)), len(run.looks)
    if num_drawn < num_looks:
        notes.append(
            f"{num_drawn} of {num_looks:,} looks are drawn, more densely at the beginning; "
            "tables, alarms and report.json hold all of them."
        )
    num_marked, num_starts = len(marked_alarms(run)), len(alarm_starts(run.alarms))
    if num_marked < num_starts:
        notes.append(f"Charts mark {num_marked} of {num_starts:,} beginnings of alarms, those that can be told apart.")
    return notes
