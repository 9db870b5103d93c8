"""`vpo monitor`: the collapse monitor over the logs of one run or several; a page, and an exit status for CI."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from rich.live import Live
from rich.table import Table
from rich.text import Text

from eval.alarms import FalseAlarms
from eval.collapse.alerts import make_sinks, send
from eval.collapse.assemble import run_report
from eval.collapse.monitor import Monitor
from eval.collapse.offline import watch
from eval.collapse.quantities import Thresholds
from eval.collapse.records import AlarmRecord, LookRecord
from eval.collapse.run_report import CollapseReport, Example, RunReport
from eval.facets import STANDARD, default_facets
from eval.report.collapse import write_report
from eval.samples import Samples
from eval.sources import KINDS, Source, follow, open_source, read_base
from vpo.cli.console import Console
from vpo.visible import visible

_REDRAW_LOOKS = 50  # of a followed run, between two writings of its page; an alarm is written at once


@dataclass(frozen=True)
class Monitoring:
    """What `vpo monitor` was asked for; fields are its options."""

    logs: list[Path]
    base: Path | None
    kind: str | None
    correct: str | None
    prompts: Literal["fresh", "panel"]
    every: int
    facets: list[str] | None
    rules: Path | None
    trainer: str | None
    thresholds: dict[str, float]
    false_alarms: FalseAlarms
    alerts: list[str]
    out: Path | None
    follows: bool
    poll_s: float
    workers: int
    skip_damaged: bool
    png: bool
    fail_on: Literal["warning", "critical"] | None


def run_monitor(asked: Monitoring) -> int:
    """Look at the logs and write the page.

    Returns:
        0; 3 if an alarm of level ``fail_on`` or worse was raised.

    Raises:
        ValueError: As the parts that it calls: a log of no known kind, base samples with other components, ...
    """
    console = Console(stderr=True)
    names = _names(asked.logs)
    out = asked.out or (asked.logs[0] if asked.logs[0].is_dir() else asked.logs[0].parent) / "monitor"
    page = out / "report.html"
    if asked.follows and len(asked.logs) > 1:
        raise ValueError(f"{len(asked.logs)} logs and --follow: expected one log to follow. Leave one of them out.")
    sinks = make_sinks(asked.alerts)
    runs: list[RunReport] = []
    for path, name in zip(asked.logs, names, strict=True):
        source = open_source(path, kind=asked.kind, skip_damaged=asked.skip_damaged)
        monitor = _monitor(asked, source)
        examples: list[Example] = []

        def report(
            *ended: str,
            examples: list[Example] = examples,
            monitor: Monitor = monitor,
            name: str = name,
            source: Source = source,
        ) -> RunReport:
            return run_report(monitor, name, source.name, examples, [*ended, *source.warnings])

        with _Progress(console, name, monitor) as progress, _Until(asked.follows) as until:
            steps = follow(source, asked.poll_s, until.is_over) if asked.follows else source.read()

            def look(record: LookRecord, progress: _Progress = progress, report: Any = report) -> None:
                progress.show(record)
                if asked.follows and (record.alarm or record.number % _REDRAW_LOOKS == 1):
                    _write([report()], page, False)

            def alarm(record: AlarmRecord, name: str = name, progress: _Progress = progress) -> None:
                progress.tell(record)
                send(sinks, name, record)

            workers = 1 if asked.follows else asked.workers
            try:
                watch(monitor, _until(steps, until), workers, look, alarm, examples)
            except Exception as error:
                if monitor.looks:  # of a log that was damaged at its end: what came before took its time
                    ended = f"Reading ended with an error, and what came after is not in this report: {error}"
                    _write([*runs, report(ended)], page, asked.png)
                    console.print(f"what was read until then is in {page}", highlight=False)
                raise
        runs.append(report())
    written = _write(runs, page, asked.png)
    for run in runs:
        console.print(Text.assemble((visible(run.name), "bold"), visible(f": {run.verdict}. {run.why}")))
        for text in [run.guarantee, *run.warnings] if run.alarms else run.warnings:
            console.print(f"  note: {text}", highlight=False)
    Console().print("wrote " + ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    return _status(runs, asked.fail_on)


def _monitor(asked: Monitoring, source: Source) -> Monitor:
    return Monitor(
        default_facets(asked.facets or STANDARD, rules=asked.rules),
        base=None if asked.base is None else read_base(asked.base),
        correct=asked.correct,
        prompts=asked.prompts,
        every=asked.every,
        thresholds=_thresholds(asked.thresholds),
        false_alarms=asked.false_alarms,
        trainer=asked.trainer or _trainer_of(source),
    )


def _trainer_of(source: Source) -> str:
    """Whose log it is; of a generic one nobody knows, and TRL's keys are the most common."""
    kind = next(name for name, each in KINDS.items() if type(source) is each)
    return "trl" if kind in ("jsonl", "parquet") else kind


def _thresholds(given: dict[str, float]) -> Thresholds:
    known = {each.name for each in fields(Thresholds)}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"thresholds {unknown} are unknown: expected some of {sorted(known)}.")
    return Thresholds(**given)


def _write(runs: list[RunReport], page: Path, png: bool) -> list[Path]:
    title = f"Format diversity of {runs[0].name}" if len(runs) == 1 else f"Format diversity of {len(runs)} runs"
    page.parent.mkdir(parents=True, exist_ok=True)
    return write_report(CollapseReport(title, runs), page, png=png)


def _names(paths: list[Path]) -> list[str]:
    """Last parts of the paths, as many as make them differ."""
    whole = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, whole)) + 1):
        names = ["/".join(parts[-length:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"the logs are {[str(path) for path in paths]}: expected each of them once.")


def _status(runs: list[RunReport], fail_on: str | None) -> int:
    counted = {"warning": ("warning", "critical"), "critical": ("critical",)}.get(fail_on or "", ())
    return 3 if any(alarm.level in counted for run in runs for alarm in run.alarms) else 0


def _until(steps: Iterator[Samples], until: _Until) -> Iterator[Samples]:
    """Steps until Ctrl-C; what was read by then is looked at and reported."""
    for samples in steps:
        yield samples
        if until.is_over():
            return


class _Until:
    """Ctrl-C ends the reading, not the report; a second one ends all.

    Args:
        is_on: Whether a log is followed, for ever.
    """

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on
        self._over = False

    def __enter__(self) -> _Until:
        self._before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def is_over(self) -> bool:
        """Whether somebody has pressed Ctrl-C."""
        return self._over

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._over = True
        signal.signal(signal.SIGINT, self._before)


class _Progress:
    """A table in the terminal that follows the looks."""

    def __init__(self, console: Console, name: str, monitor: Monitor) -> None:
        self._name, self._monitor = name, monitor
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> _Progress:
        self._live.__enter__()
        return self

    def __exit__(self, *rest: Any) -> None:
        self._live.__exit__(*rest)

    def show(self, record: LookRecord) -> None:
        """Show a look."""
        table = Table(
            title=f"{self._name}, step {record.step}, {self._monitor.num_samples:,} samples", title_justify="left"
        )
        for heading in ("format", "share", "effective", "evidence / alarm at"):
            table.add_column(heading)
        alpha = record.effective["format"].alpha
        effective = "" if alpha is None else f"{alpha:.2f}"
        evidence = "" if record.log_evidence is None else f"{record.log_evidence:+.1f} / {record.log_threshold:.1f}"
        for place, (label, share) in enumerate(list(record.shares["format"].items())[:6]):
            first = place == 0
            table.add_row(label, f"{share.est:.0%}", effective if first else "", evidence if first else "")
        self._live.update(table)

    def tell(self, alarm: AlarmRecord) -> None:
        """Print an alarm, to stay."""
        colour = "red" if alarm.level == "critical" else "yellow"
        what = f": {', '.join(alarm.quantities)}"
        head = Text.assemble((f"{alarm.level} at step {alarm.step}", f"{colour} bold"), visible(what))
        self._live.console.print(head, highlight=False)
        self._live.console.print(f"{alarm.sentence}\n{alarm.verdict}: {alarm.why}", highlight=False)
