"""JSON objects as runs leave them in files: half of one, another program's, or one made to harm are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_DEEPEST = 64  # levels; what walks through a record does so level by level


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None if it is not there, half of one, nested beyond use, or something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_shallow(found) else None


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        parts = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list))]
        level = [each for part in parts for each in part]
        if not level:
            return True
    return False
