"""The format-diversity report: what the collapse monitor found, as a page, as Markdown for a pull request, and as JSON.

``write_report(report, "folder")`` writes all of them; ``render`` and ``markdown`` give the texts.
"""

from __future__ import annotations

from eval.report.collapse.files import write_report
from eval.report.collapse.markdown import markdown
from eval.report.collapse.page import render

__all__ = ["markdown", "render", "write_report"]
