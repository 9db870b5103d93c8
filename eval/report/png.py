"""What pictures of a report share: matplotlib, if it is there, in the colours and dashes of the pages."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

from eval.report.data import Curve
from eval.report.names import shortened
from eval.report.styles import LineStyle

_STYLE_SHEET = Path(__file__).resolve().parents[1] / "templates" / "report.css"
_LONGEST = 32  # characters of a label

#: Dashes of ``styles`` as matplotlib has them.
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}


def new_figure(what: str, option: str, **settings: Any) -> Any:
    """A matplotlib figure.

    Args:
        what: File that was asked for, for the message.
        option: How it was asked for.
        **settings: Of matplotlib's ``Figure``.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f"matplotlib is not installed, and {what} was asked for: expected the extra `png`. Install it "
            f"(pip install 'vpo[png]'), or leave out {option}: report.html has all charts."
        ) from error
    return Figure(layout="constrained", **settings)


def png_of(figure: Any) -> bytes:
    """The figure as a PNG file's bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def colours() -> dict[str, str]:
    """Colour names of ``styles`` in light surroundings, from the pages' style sheet."""
    light = _STYLE_SHEET.read_text(encoding="utf-8").partition("@media")[0]
    return dict(re.findall(r"--c-([a-z]+): (#[0-9a-f]{6})", light))


def plain(text: str, longest: int = _LONGEST) -> str:
    """A text that matplotlib takes as it is: no mathematics between dollars, no leading _, which hides a label."""
    return "\u200b" * text.startswith("_") + shortened(text, longest).replace("$", r"\$")


def draw_curve(axes: Any, name: str, curve: Curve, style: LineStyle, *, with_markers: bool) -> None:
    """A line with its band; what was not measured is a gap in both.

    Args:
        axes: matplotlib's.
        name: In the legend.
        curve: One measured value at least, else nothing is drawn.
        style: Colour and dash.
        with_markers: A marker at each point, and not only at those that no line would show.
    """
    mean = _gaps(curve.mean)
    is_gap = [True, *map(math.isnan, mean), True]
    alone = [i for i in range(len(mean)) if not is_gap[i + 1] and is_gap[i] and is_gap[i + 2]]
    if all(is_gap):
        return
    colour = colours()[style.colour]
    marked = None if with_markers else alone
    look = {"color": colour, "linestyle": DASHES[style.dash], "linewidth": 2, "marker": "o", "markevery": marked}
    axes.plot(curve.x, mean, label=plain(name), **look)
    if curve.lo is not None and curve.hi is not None:
        axes.fill_between(curve.x, _gaps(curve.lo), _gaps(curve.hi), color=colour, alpha=0.14, linewidth=0)


def _gaps(values: Any) -> list[float]:
    return [math.nan if value is None else float(value) for value in values]
