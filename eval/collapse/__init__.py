"""The collapse monitor: formats, diversity and coverage against the base model, look after look, with alarms.

The names below are imported on first use, because transformers takes seconds to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpo.first_use import on_first_use

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

__getattr__, __dir__ = on_first_use(__name__, _HOME)
