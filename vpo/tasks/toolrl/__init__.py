"""The tool-calling task: reading calls, two sets of rules, the rows."""

from __future__ import annotations

from vpo.tasks.toolrl.task import ToolRLTask

__all__ = ["ToolRLTask"]
