"""Arithmetic word problems solved in three formats: the controlled ground for studies of format collapse."""

from __future__ import annotations

from vpo.tasks.format_mixture.problems import Problem
from vpo.tasks.format_mixture.task import FormatMixtureTask

__all__ = ["FormatMixtureTask", "Problem"]
