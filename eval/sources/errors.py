"""What goes wrong with a log: one error, whose message names file, line or column, and the cure."""

from __future__ import annotations


class SourceError(ValueError):
    """A log that is damaged, is not of its kind, or changes in a way that no average may go over."""


class DamagedFileError(SourceError):
    """A file that cannot be read at all: half-written, cut, or overwritten."""
