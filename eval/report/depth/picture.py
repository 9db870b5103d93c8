"""The depth report's main charts as one PNG, for a slide, a paper, a comment. Needs matplotlib (extra ``png``)."""

from __future__ import annotations

from eval.depth.record import DepthReport
from eval.report.depth.charts import LINES, MOST_TICKS, curve_of, on_log
from eval.report.png import colours, draw_curve, new_figure, plain, png_of

#: Title, quantities, and whether the axis is logarithmic.
_PANELS = (
    ("Cross-entropy (nats)", ("cross_entropy",), False),
    ("Right predictions", ("accuracy",), False),
    ("KL (nats a token)", ("kl_previous", "kl_capped"), True),
    ("Residual", ("residual", "scale_free_residual"), False),
    ("Cosine of steps, contraction", ("cosine", "contraction"), False),
    ("Effective rank", ("effective_rank",), False),
)


def draw_picture(report: DepthReport) -> bytes:
    """Six panels over loops; the sweet spot and its interval are orange.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = new_figure("report.png", "--png", figsize=(12, 6.4), dpi=130)
    orange, spot = colours()["orange"], report.sweet_spot
    for number, (title, names, is_log) in enumerate(_PANELS, start=1):
        axes = figure.add_subplot(2, 3, number)
        curves = {name: curve for name in names if (curve := curve_of(report, name)) is not None}
        for name, curve in (on_log(curves) if is_log else curves).items():
            label, style = LINES[name]
            draw_curve(axes, label, curve, style, with_markers=True)
        axes.axvspan(spot.lo - 0.12, spot.hi + 0.12, color=orange, alpha=0.12, linewidth=0)
        axes.axvline(spot.loop, color=orange, linestyle="--", linewidth=1.4)
        axes.set_title(title, loc="left", fontsize=11)
        axes.set(xlim=(0.7, report.loops + 0.3), xlabel="loops")
        if report.loops <= MOST_TICKS:
            axes.set_xticks(range(1, report.loops + 1))
        if is_log and any(value is not None for curve in curves.values() for value in curve.mean):
            axes.set_yscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=9)
    figure.suptitle(plain(report.title, longest=110), x=0.01, ha="left", fontsize=13)
    return png_of(figure)
