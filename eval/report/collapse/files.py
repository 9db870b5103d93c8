"""The report's files: ``report.html``, ``report.md``, ``report.json`` and, on request, ``charts/*.png``."""

from __future__ import annotations

from pathlib import Path

from eval.collapse.json_form import to_json
from eval.collapse.run_report import CollapseReport
from eval.report.collapse.markdown import markdown
from eval.report.collapse.page import render
from eval.report.parts import write_whole


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
    if page.parent.exists() and not page.parent.is_dir():
        raise FileExistsError(
            f"{str(page.parent)!r} is a file: expected a folder, or a name ending in .html. Choose another path."
        )
    texts = {page: render(report), page.with_suffix(".md"): markdown(report), page.with_suffix(".json"): _json(report)}
    pictures = {}
    if png:
        from eval.report.collapse.pictures import draw_pictures  # matplotlib is an extra

        pictures = draw_pictures(report)
    page.parent.mkdir(parents=True, exist_ok=True)
    for target, text in texts.items():
        write_whole(target, text)
    charts = page.parent / "charts"
    if pictures:
        charts.mkdir(exist_ok=True)
    for name, data in pictures.items():
        (charts / name).write_bytes(data)
    return [*texts, *(charts / name for name in pictures)]


def _json(report: CollapseReport) -> str:
    try:
        return to_json(report, indent=1)
    except ValueError as error:
        raise ValueError(
            f"the report cannot be JSON: {error}. Expected finite numbers, and None for what was not measured. "
            "Replace NaN and infinity before writing."
        ) from error
