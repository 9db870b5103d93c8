"""The demo's report: its figures, and the page that shows them.

``data`` says what a report holds, ``charts``, ``styles`` and ``words`` how that is drawn and worded, ``page`` joins it.
``write(report, "report.html")`` gives one file that any browser shows without a network, and ``report.json`` beside it.
"""

from __future__ import annotations

from eval.report.data import (
    METRICS,
    Curve,
    DemoReport,
    Figure,
    GalleryItem,
    LookPoint,
    SearchCurve,
    TableRow,
    Verdict,
)
from eval.report.page import render, write

__all__ = [
    "METRICS",
    "Curve",
    "DemoReport",
    "Figure",
    "GalleryItem",
    "LookPoint",
    "SearchCurve",
    "TableRow",
    "Verdict",
    "render",
    "write",
]
