"""The machine in words, for every page and file of results. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def hardware() -> str:
    """Processor, cores in use, and that no GPU was: what a figure has to be read with."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: what platform says has to do
    return f"{os.cpu_count()} CPU cores ({model}), no GPU"
