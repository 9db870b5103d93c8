"""The depth report as a page, as JSON and as a picture."""

from __future__ import annotations

from eval.report.depth.page import render, write_depth_report

__all__ = ["render", "write_depth_report"]
