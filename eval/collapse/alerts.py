"""Where alarms are sent: the log, Trackio, Weights & Biases, a webhook. None of them can stop a run by failing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from threading import Thread
from typing import Any

from eval.collapse.json_form import to_json
from eval.collapse.records import AlarmRecord
from vpo.visible import visible

logger = logging.getLogger("vpo.monitor")
Sink = Callable[[str, AlarmRecord], None]
_TIMEOUT_S = 10


def alarm_text(alarm: AlarmRecord) -> str:
    """An alarm in a few lines of plain text."""
    lines = [alarm.sentence, f"Verdict: {alarm.verdict}. {alarm.why}", f"{alarm.guarantee} {alarm.assumption}"]
    for action in alarm.actions:
        changes = ", ".join(f"{key}: {old} -> {new}" for key, (old, new) in action.changes.items())
        lines.append(f"May help ({action.strength} evidence): {changes}. {action.reason}")
    return "\n".join(lines)


def make_sinks(names: Sequence[str | Sink]) -> list[Sink]:
    """Sinks by name.

    Args:
        names: ``console``, ``trackio``, ``wandb``, an http(s) address that takes a POST with JSON, or a function of the
            run's name and the alarm.

    Raises:
        ValueError: Another name.
        ImportError: Trackio or wandb is not installed.
    """
    return [name if callable(name) else _sink(name) for name in names]


def send(sinks: Sequence[Sink], run: str, alarm: AlarmRecord) -> None:
    """Send an alarm to all sinks; one that fails is named in the log."""
    for sink in sinks:
        try:
            sink(run, alarm)
        except Exception as error:  # a monitor must not end a training run
            logger.warning("an alarm could not be sent (%s: %s)", type(error).__name__, error)


def _sink(name: str) -> Sink:
    if name == "console":
        return _to_console
    if name.startswith(("http://", "https://")):
        return lambda run, alarm: _post(name, run, alarm)
    if name == "trackio":
        trackio = _tracker(name)
        levels = {"warning": trackio.AlertLevel.WARN, "critical": trackio.AlertLevel.ERROR}
        return lambda run, alarm: trackio.alert(
            title=_title(run, alarm), text=alarm_text(alarm), level=levels[alarm.level]
        )
    if name == "wandb":
        wandb = _tracker(name)
        wandb_levels = {"warning": wandb.AlertLevel.WARN, "critical": wandb.AlertLevel.ERROR}
        return lambda run, alarm: wandb.run.alert(
            title=_title(run, alarm), text=alarm_text(alarm), level=wandb_levels[alarm.level]
        )
    raise ValueError(
        f"alerts hold {name!r}: expected 'console', 'trackio', 'wandb', an http(s) address, or a function of the run's "
        "name and the alarm."
    )


def _tracker(name: str) -> Any:
    """A tracker's package, which whoever reports to it has installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"alerts hold {name!r}, which is not installed: `pip install {name}`, or leave it out."
        ) from error


def _title(run: str, alarm: AlarmRecord) -> str:
    return f"{alarm.level} at step {alarm.step} of {run}: {', '.join(alarm.quantities[:3])}"


def _to_console(run: str, alarm: AlarmRecord) -> None:
    level = logging.ERROR if alarm.level == "critical" else logging.WARNING
    logger.log(level, "%s\n%s", visible(_title(run, alarm)), visible(alarm_text(alarm)))  # formats are named by answers


def _post(address: str, run: str, alarm: AlarmRecord) -> None:
    """POST in a thread of its own: a slow address must not hold up a training step. ``text`` is what Slack shows.

    Whoever ends after an alarm waits for it: the last one of a run is the one that counts.
    """
    import json

    import httpx

    body: dict[str, Any] = {"text": f"{_title(run, alarm)}\n{alarm_text(alarm)}", "run": run}
    body["alarm"] = json.loads(to_json(alarm))

    def deliver() -> None:
        try:
            httpx.post(address, json=body, timeout=_TIMEOUT_S).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.warning("an alarm could not be sent to a webhook (%s)", type(error).__name__)

    Thread(target=deliver, daemon=False).start()
