"""What the depth report's page says around its numbers, and how it prints them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from eval.depth.record import DepthReport, Series
from eval.report.data import Figure, Number
from eval.report.words import MISSING
from vpo.looped.depth import POLICIES

_WITH_INTERVAL = ("cross-entropy", "gain", "accuracy", "all right", "reward")  # the table has no room for more

GLOSSARY = (
    ("loop", "One pass of the shared core over all tokens."),
    ("cap", "The most loops that a token may get; divergences are measured to the prediction there."),
    (
        "sweet spot",
        "The fewest loops whose mean cross-entropy is within the slack of the best. Its interval comes from drawing "
        "the passages anew; each draw has a sweet spot of its own.",
    ),
    ("KL", "How far two predictions lie apart, in nats a token. 0.01 is hard to see in samples."),
    (
        "residual",
        "How much one more loop changes the state, as a share of it. Stopping compares that to a tolerance.",
    ),
    ("scale removed", "The same of the state's direction alone, which is what a readout through a norm can see."),
    (
        "cosine to the step before",
        "1: the state moves on in a straight line; 0: each step goes somewhere new; below 0: it turns back.",
    ),
    ("distance of two starts", "How far apart the loop ends from two different states: 0 if where it ends is settled."),
    (
        "norm, radius",
        "By how much one loop can stretch a small difference at once, and per loop in the long run. A radius below 1 "
        "comes to rest.",
    ),
    ("effective rank", "How many directions the tokens’ states fill. It falls as tokens become alike."),
    ("oracle", "The best loop of each token in hindsight. It sees the next token, so part of its lead is luck."),
    (
        "regret",
        "How much a rule’s loss lies above the oracle’s. To beat: the regret of a fixed depth at the sweet spot.",
    ),
)


def cards(report: DepthReport) -> list[Figure]:
    """The headline numbers."""
    spot = report.sweet_spot
    interval = f"{spot.lo}" if spot.lo == spot.hi else f"{spot.lo} to {spot.hi}"
    share = "" if spot.agreement is None else f"; {spot.agreement:.0%} of the draws agree"
    made = [Figure("Sweet spot", loops(spot.loop), f"95% interval {interval}{share}")]
    loss = report.series["cross_entropy"].mean
    made.append(Figure("Loss there", f"{number(loss[spot.loop - 1])} nats", f"after one loop {number(loss[0])}"))
    chosen = next((row for row in report.tolerances if row.tol == report.chosen_tol), None)
    if chosen is not None:
        note = f"at {chosen.mean_depth:.2f} loops a token, KL {number(chosen.kl)} nats"
        made.append(Figure("Tolerance within the target", f"{chosen.tol:g}", note))
    if report.choices:
        rule = report.choices[-1]
        note = f"{number(rule.regret_of_sweet_spot)} of a fixed depth at the sweet spot"
        made.append(Figure(f"Regret, {rule.rule}", f"{number(rule.regret)} nats", note))
    return made


def costs(report: DepthReport) -> list[tuple[str, str]]:
    """What the measurement took, as far as it is known."""
    seconds, memory = report.seconds, report.peak_memory_gib
    told = [] if seconds is None else [("Took", f"{seconds:,.0f} s")]
    return told if memory is None else [*told, ("Peak memory", f"{memory:.1f} GiB")]


def setting_lines(settings: dict[str, Any]) -> list[str]:
    """A change of configuration, a line a setting; a policy as the call that makes it."""
    return [f"{name} = {_value(value)}" for name, value in settings.items()]


def loop_rows(report: DepthReport) -> list[tuple[int, dict[str, str]]]:
    """The table of all loops: loop, and column to cell."""
    columns = {
        "cross-entropy": report.series.get("cross_entropy"),
        "gain": _shifted(report.step_gains),
        "accuracy": report.series.get("accuracy"),
        "all right": report.solved,
        "reward": report.rewards,
        "KL to the loop before": report.series.get("kl_previous"),
        "KL to the cap": report.series.get("kl_capped"),
        "residual": report.series.get("residual"),
        "cosine": report.series.get("cosine"),
        "effective rank": report.series.get("effective_rank"),
    }
    shown = {name: series for name, series in columns.items() if series is not None}
    return [
        (t + 1, {name: _cell(series, t, name in _WITH_INTERVAL) for name, series in shown.items()})
        for t in range(report.loops)
    ]


def loops(count: int) -> str:
    """``"1 loop"``, ``"3 loops"``."""
    return f"{count} loop" if count == 1 else f"{count} loops"


def number(value: Number) -> str:
    """Three digits that matter, small ones as powers of ten."""
    if value is None:
        return MISSING
    return f"{value:.3f}" if 0.1 <= abs(value) < 1000 or value == 0 else f"{value:.2g}"


def _cell(series: Series, t: int, with_interval: bool) -> str:
    mean = series.mean[t]
    lo, hi = (None if edge is None or not with_interval else edge[t] for edge in (series.lo, series.hi))
    return number(mean) if lo is None or hi is None else f"{number(mean)} [{number(lo)}, {number(hi)}]"


def _shifted(gains: Series) -> Series:
    """Gains of loops 2 to R, with nothing for the first."""
    lo, hi = (None if edge is None else [None, *edge] for edge in (gains.lo, gains.hi))
    return Series([None, *gains.mean], lo, hi)


def _value(value: Any) -> str:
    """A policy as the call that makes it, with all that differs from its defaults; anything else as it is written."""
    if not isinstance(value, dict) or value.get("kind") not in POLICIES:
        return repr(value)
    made = POLICIES[value["kind"]]
    names = {each.name: each.default for each in fields(made)}
    asked = ("tol", "cap")  # what one looks for is said even where it is the default
    given = [
        f"{name}={value[name]!r}"
        for name, default in names.items()
        if name in value and (name in asked or value[name] != default)
    ]
    return f"{made.__name__}({', '.join(given)})"
