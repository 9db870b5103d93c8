"""The depth report's files: the page, ``report.json``, and on request a picture."""

from __future__ import annotations

from pathlib import Path

from eval.depth.record import DepthReport
from eval.report.depth import charts, words
from eval.report.files import require_folder, write_files
from eval.report.parts import fill_template
from eval.report.words import MISSING, time_text


def render(report: DepthReport) -> str:
    """The page's text; it needs no network."""
    groups = {
        "gain": charts.gain_charts(report),
        "motion": charts.motion_charts(report),
        "diversity": charts.diversity_charts(report),
        "calibration": charts.calibration_charts(report),
        "depths": charts.depth_charts(report),
    }
    rows = words.loop_rows(report)
    return fill_template(
        "depth.html.j2",
        any(groups.values()),
        report=report,
        verdict=report.advice[0] if report.advice else None,
        others=report.advice[1:],
        cards=words.cards(report),
        groups=groups,
        rows=rows,
        columns=list(rows[0][1]) if rows else [],
        words=words,
        glossary=words.GLOSSARY,
        time_text=time_text,
        missing=MISSING,
    )


def write_depth_report(report: DepthReport, folder: Path, *, png: bool = False) -> list[Path]:
    """Write ``report.html`` and ``report.json``, each whole or not at all, and all only if all can be made.

    Args:
        report: What is shown.
        folder: Where; made if need be.
        png: Also draw ``report.png``, which needs matplotlib.

    Returns:
        The files, the page first.

    Raises:
        FileExistsError: The folder's name is a file's.
        ImportError: ``png`` without matplotlib.
    """
    require_folder(folder)
    made: dict[Path, str | bytes] = {folder / "report.html": render(report), folder / "report.json": report.to_json()}
    if png:
        from eval.report.depth.picture import draw_picture  # matplotlib is an extra

        made[folder / "report.png"] = draw_picture(report)
    return write_files(made)
