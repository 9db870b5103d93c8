"""The monitor over a log: all of it at once, or as it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice

from eval.collapse.ahead import labelled
from eval.collapse.gallery import medoids
from eval.collapse.monitor import Monitor
from eval.collapse.records import AlarmRecord, LookRecord
from eval.collapse.run_report import Example
from eval.samples import Samples, merge

OnLook = Callable[[LookRecord], None]
OnAlarm = Callable[[AlarmRecord], None]


def watch(
    monitor: Monitor,
    steps: Iterable[Samples],
    workers: int = 1,
    on_look: OnLook | None = None,
    on_alarm: OnAlarm | None = None,
    examples: list[Example] | None = None,
) -> list[Example]:
    """Look at every step.

    Args:
        monitor: Before its first look.
        steps: Samples of each step, ascending; may wait for those to come.
        workers: Processes that label.
        on_look: Called with each record.
        on_alarm: Called with each alarm.
        examples: Where typical samples are put as they are found, for whoever must not lose them to an error.

    Returns:
        Typical samples at the alarms.

    Raises:
        ValueError: There is not a single sample, or as :meth:`Monitor.look`.
    """
    examples = [] if examples is None else examples

    def done(record: LookRecord | None, known: int) -> None:
        if record is None:
            return
        for alarm in monitor.alarms[known:]:
            examples.extend(medoids(monitor.recent[-1], "alarm"))
            if on_alarm is not None:
                on_alarm(alarm)
        if on_look is not None:
            on_look(record)

    iterator = (samples for samples in steps if len(samples))
    first = list(islice(iterator, monitor.every))
    if not first:
        raise ValueError("the log holds no samples yet: expected those of one step at least. Let the run take a step.")
    monitor.set_reference(merge(first))  # facets are fitted before labelling is handed out
    for samples, labels in labelled(chain(first, iterator), monitor.facets, workers):
        known = len(monitor.alarms)
        done(monitor.look(samples, labels=labels), known)
    known = len(monitor.alarms)
    done(monitor.finish(), known)
    return examples
