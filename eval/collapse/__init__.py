"""The collapse monitor: formats, diversity and coverage against the base model, look after look, with alarms.

The names below are imported on first use, because transformers takes seconds to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.alarms import FalseAlarms
    from eval.collapse.callback import CollapseMonitor
    from eval.collapse.monitor import Monitor
    from eval.collapse.quantities import Thresholds

__all__ = ["CollapseMonitor", "FalseAlarms", "Monitor", "Thresholds"]

_HOME = {
    "CollapseMonitor": "eval.collapse.callback",
    "FalseAlarms": "eval.alarms",
    "Monitor": "eval.collapse.monitor",
    "Thresholds": "eval.collapse.quantities",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'eval.collapse' has no attribute {name!r}: expected one of {', '.join(__all__)}.")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
