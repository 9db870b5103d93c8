"""An alarm's record: what it saw and what that means, at the look that raised it or at the one that makes it worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.alarms import ASSUMPTION, AlarmPanel
from eval.collapse.actions import suggest
from eval.collapse.counted import Counted
from eval.collapse.quantities import Thresholds
from eval.collapse.records import AlarmRecord, Quantity
from eval.collapse.sentences import what_moved
from eval.collapse.verdicts import Standing, is_critical, judge


def alarm_record(
    look: Counted,
    number: int,
    standing: Standing,
    named: Sequence[Quantity],
    before: Sequence[Quantity],
    values: Mapping[str, Any],
    panel: AlarmPanel,
    thresholds: Thresholds,
    guarantee: str,
    trainer: str,
    settings: Mapping[str, Any],
) -> AlarmRecord | None:
    """The record of an alarm.

    Args:
        look: At which it is raised.
        number: Of the look.
        standing: Base and now.
        named: Quantities that the alarm names, strongest first; none where no new one is above its bound.
        before: Those that earlier alarms named.
        values: Quantity -> its numbers at the look.
        panel: The evidence.
        thresholds: Where changes matter.
        guarantee: In words.
        trainer: Whose settings are suggested.
        settings: That are known.

    Returns:
        None if nothing new is named and what was named is not critical now. A first alarm comes early, when half of
        what is looked at is from before the change; it must not stay a warning because of that.
    """
    standing = replace(standing, now=standing.latest[::-1])  # what came before the change would only dilute it
    known = [*before, *named]
    verdict, why = judge(standing, known, panel.logs, thresholds)
    # A 95% interval that is looked at again at every look errs sooner or later: by itself it makes nothing worse.
    settled = verdict if named or verdict != "costly collapse" else "sharpening"
    critical = is_critical(standing, settled, known)
    if not named and not (critical and panel.log_evidence >= panel.false_alarms.log_threshold):
        return None
    shown = named or known
    return AlarmRecord(
        look=number,
        step=look.samples.step,
        epoch=look.samples.epoch,
        level="critical" if critical else "warning",
        quantities=[each.name for each in shown],
        sentence=what_moved(shown, values),
        log_evidence=panel.log_evidence,
        log_threshold=panel.false_alarms.log_threshold,
        guarantee=guarantee,
        assumption=ASSUMPTION,
        verdict=verdict,
        why=why,
        actions=suggest(verdict, trainer, settings, look.samples.step),
    )
