"""What a run was: ``run.json`` in its folder, written by whatever trains or searches, read by `vpo runs`.

Light: nothing here imports torch, and everything here may be called before anything is loaded.
"""

from __future__ import annotations

from vpo.record.changes import Change, changes, flattened
from vpo.record.run_file import RUN_FILE, RunFile, is_alive, latest
from vpo.record.surroundings import surroundings

__all__ = ["RUN_FILE", "Change", "RunFile", "changes", "flattened", "is_alive", "latest", "surroundings"]
