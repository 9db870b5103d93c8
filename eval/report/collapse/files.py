"""The report's files: ``report.html``, ``report.md``, ``report.json`` and, on request, ``charts/*.png``."""

from __future__ import annotations

from pathlib import Path

from eval.collapse.json_form import to_json
from eval.collapse.run_report import CollapseReport
from eval.report.collapse.markdown import markdown
from eval.report.collapse.page import render
from eval.report.files import require_folder, write_files


def write_report(report: CollapseReport, path: str | Path, *, png: bool = False) -> list[Path]:
    """Write the report, each file whole or not at all, and all only if all can be made.

    Args:
        report: One run or several.
        path: A folder, made if need be, for ``report.html``, ``report.md`` and ``report.json``; or a name that ends in
            .html, and the others get the same name with their own endings.
        png: Also draw ``charts/*.png`` beside them, which needs matplotlib.

    Returns:
        The files, the page first.

    Raises:
        ValueError: The report holds no run, or a number that is not finite.
        FileExistsError: The folder's name is a file's.
        ImportError: ``png`` without matplotlib.
    """
    path = Path(path)
    page = path if path.suffix.lower() in (".html", ".htm") else path / "report.html"
    require_folder(page.parent, ", or a name ending in .html")
    made: dict[Path, str | bytes] = {
        page: render(report),
        page.with_suffix(".md"): markdown(report),
        page.with_suffix(".json"): _json(report),
    }
    if png:
        from eval.report.collapse.pictures import draw_pictures  # matplotlib is an extra

        made |= {page.parent / "charts" / name: data for name, data in draw_pictures(report).items()}
    return write_files(made)


def _json(report: CollapseReport) -> str:
    try:
        return to_json(report, indent=1)
    except ValueError as error:
        raise ValueError(
            f"the report cannot be JSON: {error}. Expected finite numbers, and None for what was not measured. "
            "Replace NaN and infinity before writing."
        ) from error
