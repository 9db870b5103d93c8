"""The page's words that depend on the numbers, how a number is printed, and the glossary.

No sentence claims a direction that the numbers do not have: each comparison is worded by its sign, and a difference
that vanishes in print is called none.
"""

from __future__ import annotations

import re
from datetime import datetime

from eval.report.data import DemoReport, Number

MISSING = "–"

GLOSSARY = (
    ("maze, answer", "Each prompt is a maze. An answer is one route through it; a policy may be asked for many."),
    (
        "reward vector",
        "What an answer earns, one number from 0 to 1 for each component: reaching the exit, gold, diamonds, "
        "keeping off the lava. Hardly any route has everything.",
    ),
    (
        "taste (weighting)",
        "How much each component counts; the weights sum to 1. A taste turns a vector into one number.",
    ),
    ("w*", "The fixed taste: all components count the same. It is the only one GRPO is ever paid for."),
    ("best@k", "Ask k times, keep the best answer, judge it by w*; the mean over mazes that were not trained on."),
    ("E_w[best@k]", "The same, judged by a taste drawn at random, averaged over many draws."),
    (
        "pool L1",
        "How far the answers to one maze lie apart: the mean, over all pairs, of the summed differences of their "
        "reward vectors. 0 = all earn exactly the same.",
    ),
    ("distinct", "How many different answers stand among all those given to one maze."),
    ("completion share", "The share of answers that reach the exit within the allowed number of moves."),
    (
        "set reward",
        "What VPO pays: several answers are given together, each random taste picks the best among them, and the mean "
        "of those picks is the reward.",
    ),
    ("base", "The policy before reinforcement learning. Every claim is held against it."),
    ("GRPO", "Reinforcement learning that pays each answer by the fixed taste w*."),
    ("VPO", "Reinforcement learning that pays a set of answers by its set reward (arXiv 2605.22817)."),
    ("blind", "A control without a model: the best fixed list of routes, the same for every maze."),
    ("oracle", "A control without a model: the best there is, found by trying every route."),
    ("shuffled prompts", "A control: the policy sees another maze than the one it is judged on."),
    ("band", "The uncertainty of a mean over mazes, by bootstrap: where the mean of other mazes would likely lie."),
)


def column_note(metric: str) -> str:
    """The glossary's words for a table column, empty if it has none: ``best@3`` is explained by ``best@k``."""
    return dict(GLOSSARY).get(re.sub(r"@\d+", "@k", metric), "")


def time_text(created: str) -> str:
    """Print an ISO 8601 time for people, and anything else as it is."""
    try:
        time = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def number_text(metric: str, value: Number) -> str:
    """Print a table value in its metric's unit."""
    if value is None:
        return MISSING
    if metric == "completion share":
        return f"{100 * value:.1f} %"
    if metric == "distinct":
        return f"{value:.1f}"
    if metric == "seconds":
        return f"{value:,.0f} s"
    if metric == "generated tokens":
        return next(
            (f"{value / size:.3g} {unit}" for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= size),
            f"{value:.0f}",
        )
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def headline(report: DemoReport) -> list[str]:
    """Say in up to three sentences how VPO and GRPO differ; empty if the table does not hold both."""
    sentences = []
    if pair := _pair(report, "pool L1"):
        vpo, grpo = pair
        if grpo > 0 and vpo / grpo >= 1.05:
            sentences.append(
                f"After training, VPO’s answers to one maze differ {vpo / grpo:.1f} times as much as GRPO’s."
            )
        else:
            sentences.append(
                f"After training, VPO’s answers to one maze differ no more than GRPO’s ({vpo:.2f} against {grpo:.2f})."
            )
    if pair := _pair(report, "E_w[best@3]"):
        vpo, grpo = pair
        who = _compared(vpo, grpo, "VPO finds more", "both find as much", "GRPO finds more")
        sentences.append(
            f"With three tries and a taste drawn at random, {who}: VPO\u00a0{vpo:.2f}, GRPO\u00a0{grpo:.2f}."
        )
    if pair := _pair(report, "best@1"):
        vpo, grpo = pair
        who = _compared(vpo, grpo, "VPO is ahead", "both do equally well", "GRPO is ahead")
        sentences.append(f"With a single try and the fixed taste, {who}: VPO\u00a0{vpo:.2f}, GRPO\u00a0{grpo:.2f}.")
    return sentences


def price_sentence(report: DemoReport) -> str:
    """Say what VPO pays against GRPO in single-answer quality, completion and time; empty if not both are known."""
    parts = []
    if pair := _pair(report, "best@1"):
        parts.append(f"best@1 {_difference(*pair, 3)}")
    if pair := _pair(report, "completion share"):
        parts.append(f"completion {_difference(100 * pair[0], 100 * pair[1], 1)} points")
    for metric, word in (("generated tokens", "generated tokens"), ("seconds", "training time")):
        if (pair := _pair(report, metric)) and pair[1] > 0:
            parts.append(f"{word} × {pair[0] / pair[1]:.2f}")
    return f"VPO against GRPO: {', '.join(parts)}." if parts else ""


def _pair(report: DemoReport, metric: str) -> tuple[float, float] | None:
    """The metric of VPO and of GRPO, or None if one of them lacks it."""
    found = {row.arm.lower(): row.metrics.get(metric) for row in report.table}
    vpo, grpo = found.get("vpo"), found.get("grpo")
    return None if vpo is None or grpo is None else (vpo, grpo)


def _compared(left: float, right: float, more: str, same: str, less: str) -> str:
    left, right = round(left, 2), round(right, 2)  # as printed: what looks equal is called equal
    if left == right:
        return same
    return more if left > right else less


def _difference(left: float, right: float, digits: int) -> str:
    text = f"{left - right:+.{digits}f}"
    return "±0" if float(text) == 0 else text.replace("-", "−")
