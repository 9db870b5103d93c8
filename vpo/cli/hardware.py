"""The machine in words, for every page and file of results. Imports nothing heavy."""

from __future__ import annotations

import os

from vpo.record.surroundings import processor


def hardware() -> str:
    """Processor, cores in use, and that no GPU was: what a figure has to be read with."""
    return f"{os.cpu_count()} CPU cores ({processor()}), no GPU"
