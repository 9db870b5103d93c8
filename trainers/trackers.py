"""Where TRL's timings may not go: to Trackio before training has begun and after it has ended.

TRL 1.16 reports how long its methods took as soon as they return. It asks wandb and MLflow whether a run is open, and
does not ask Trackio, which raises without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_timings_in_trackio(trainer: Any) -> Iterator[None]:
    """For a trainer's work outside of ``train``; metrics still go there, as the callback that logs them opens a run."""
    kept = trainer.args.report_to
    trainer.args.report_to = [name for name in kept if name != "trackio"] if isinstance(kept, list) else kept
    try:
        yield
    finally:
        trainer.args.report_to = kept
