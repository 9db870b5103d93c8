"""The folder of a job that a kill may stop: whether it is done, and the seconds that all its processes took."""

from __future__ import annotations

import json
import os
from pathlib import Path


class JobFolder:
    """For classes with a ``folder``; ``done.json`` in it marks the end (`vpo.cli.study.training.finish`)."""

    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether its result is there."""
        return (self.folder / "done.json").is_file()

    @property
    def seconds(self) -> float:
        """Seconds of all its processes so far."""
        path = self.folder / "seconds.json"
        return float(json.loads(path.read_text())) if path.is_file() else 0.0

    def note_seconds(self, seconds: float) -> None:
        """Write down what it has taken so far, whole: a kill may come at any time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "seconds.tmp"
        temporary.write_text(json.dumps(seconds))
        os.replace(temporary, self.folder / "seconds.json")
