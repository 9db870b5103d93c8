"""The report's tables: base, first and last look; what was watched and what one look could have shown; runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from eval.collapse.records import LookRecord, Quantity, Range
from eval.collapse.run_report import RunReport
from eval.report.collapse.drawn import alarm_starts
from eval.report.collapse.labels import Palette, palette
from eval.report.collapse.wording import VERDICTS, interval, look_place, percent, plain
from eval.report.data import Number, finite
from eval.report.words import MISSING
from vpo.evidence import BETS

Value = Range | Number
KEY_ROWS = ("effective formats", "pass@")  # how the names of the rows that matter most begin


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, with its interval."""

    text: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """A quantity at the base, the first and the last look, and its change from the reference to the last."""

    name: str
    cells: list[Cell]
    change: str


@dataclass(frozen=True)
class Watched:
    """A watched quantity, with the mean from which a single look would have been enough for an alarm."""

    quantity: Quantity
    now: str
    seen_from: str


def columns(run: RunReport) -> list[tuple[str, LookRecord]]:
    """Titles of the compared looks and the looks: as many of base, first and last as there are."""
    found = [("base model", run.base)] if run.base else []
    if len(run.looks) > 1:
        found.append((f"first look, {look_place(run.looks[0])}", run.looks[0]))
    if run.looks:
        found.append((f"last look, {look_place(run.looks[-1])}", run.looks[-1]))
    return [(title, look) for title, look in found if look is not None]


def number_rows(run: RunReport) -> list[Row]:
    """Effective formats, pass@k and what else was measured."""
    looks = [look for _, look in columns(run)]
    ks = sorted({int(k) for look in looks for k in look.pass_at_k})
    rows = [
        _row("effective formats, alpha", looks, _alpha, plain),
        _row("effective formats, gamma", looks, lambda look: _effective(look, "gamma"), plain),
        *(_row(f"pass@{k}", looks, lambda look, k=k: _pass(look, k), percent) for k in _few(ks)),  # type: ignore[misc]
        *(
            _row(f"reward: {name}", looks, lambda look, name=name: look.reward.get(name), plain)  # type: ignore[misc]
            for name in dict.fromkeys(name for look in looks for name in look.reward)
        ),
        _row("token entropy, nats", looks, lambda look: look.entropy, plain),
        _row("pool L1", looks, lambda look: look.pool_l1, plain),
        _row("distinct", looks, lambda look: look.distinct, plain),
        _row("Vendi score", looks, lambda look: look.vendi, plain),
        _row("truncated", looks, lambda look: look.truncated, percent),
        _row("generated tokens", looks, lambda look: look.tokens, plain),
        _row("prompts", looks, lambda look: look.num_prompts, _count),
        _row("samples", looks, lambda look: look.num_samples, _count),
    ]
    return [row for row in rows if any(cell.text != MISSING for cell in row.cells)]


def share_rows(run: RunReport, labels: Palette) -> list[Row]:
    """Shares of a facet's labels, largest first."""
    looks = [look for _, look in columns(run)]

    def share(look: LookRecord, label: str) -> Value:
        found = look.shares.get(labels.facet, {})
        return found.get(label) or (labels.shares_of(look)[label] if found else None)

    return [
        _row(label, looks, lambda look, label=label: share(look, label), percent)  # type: ignore[misc]
        for label in labels.styles
    ]


def watched(run: RunReport) -> list[Watched]:
    """What was watched, with the last look's evidence and the power of a single look."""
    needed = next((look.log_threshold for look in reversed(run.looks) if look.log_threshold is not None), None)
    rows = []
    for quantity in run.quantities:
        evidence = run.looks[-1].evidence.get(quantity.name) if run.looks else None
        seen_from = MISSING
        if run.looks and needed is not None:
            # The threshold is held against the mean over all quantities and bets: one alone must make up for all
            # others, at worst with the share of the stake that is placed at its look (`vpo.evidence`).
            number = run.looks[-1].number
            alone = needed + math.log(len(run.quantities) * len(BETS) * number * (number + 1))
            mean = smallest_seen(quantity.bound, run.looks[-1].num_prompts, alone)
            seen_from = "no single look" if mean is None else plain(mean)
        rows.append(Watched(quantity, plain(evidence), seen_from))
    return rows


def smallest_seen(bound: float, num_prompts: int, log_needed: float) -> float | None:
    """Smallest mean above ``bound`` at which one look's best bet is expected to reach ``log_needed``.

    A bet on P prompts that are all or nothing, the hardest kind, grows by P KL(mean || bound) on average (Kelly 1956).
    None if no mean up to 1 is enough.
    """
    if not 0 < bound < 1 or num_prompts < 1 or num_prompts * math.log(1 / bound) < log_needed:
        return None
    low, high = bound, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        kl = (
            middle * math.log(middle / bound) + (1 - middle) * math.log((1 - middle) / (1 - bound)) if middle < 1 else 0
        )
        low, high = (low, middle) if num_prompts * kl >= log_needed else (middle, high)
    return high


def comparison_rows(runs: list[RunReport]) -> list[tuple[RunReport, dict[str, str]]]:
    """A row for each run: verdict, first alarm, formats left, coverage."""
    rows = []
    for run in runs:
        starts = alarm_starts(run.alarms)
        looks = [look for _, look in columns(run)]
        last = run.looks[-1] if run.looks else None
        ks = sorted(int(k) for k in last.pass_at_k) if last else []
        coverage = last.pass_at_k[str(ks[-1])].difference if last and ks else None
        effective = [plain(value.est if isinstance(value, Range) else value) for value in map(_alpha, looks)]
        leader = (
            max(last.shares.get("format", {}).items(), key=lambda pair: pair[1].est, default=None) if last else None
        )
        cells = {
            "verdict": f"{run.verdict}: {VERDICTS[run.verdict].meaning}",
            "first alarm": f"step {starts[0].step:,} ({starts[0].level})" if starts else "none",
            "largest format": f"{leader[0]}, {percent(leader[1].est)}" if leader else MISSING,
            "effective formats": " → ".join([effective[0], effective[-1]]) if effective else MISSING,
        }
        if ks:
            cells[f"pass@{ks[-1]} − base"] = _points(coverage) if coverage else MISSING
        rows.append((run, cells))
    return rows


def top_labels(run: RunReport, most: int) -> Palette:
    """The formats with the largest shares, for a short table."""
    found = palette([run], "format")
    return Palette("format", dict(list(found.styles.items())[:most]), found.pooled)


def _row(
    name: str, looks: list[LookRecord], value_of: Callable[[LookRecord], Value], write: Callable[[Number], str]
) -> Row:
    values = [value_of(look) for look in looks]
    as_share = write is percent
    cells = [
        Cell(write(each.est), interval(each, as_share)) if isinstance(each, Range) else Cell(write(finite(each)))
        for each in values
    ]
    first, last = (_number(values[0]), _number(values[-1])) if len(values) > 1 else (None, None)
    if first is None or last is None or write is _count:
        return Row(name, cells, MISSING)
    return Row(name, cells, _points(Range(last - first)) if as_share else _signed(plain(last - first)))


def _number(value: Value) -> Number:
    return finite(value.est if isinstance(value, Range) else value)


def _points(value: Range) -> str:
    lo, hi = finite(value.lo), finite(value.hi)
    text = f"{_signed(plain(100 * value.est, 1))} pts"
    return text if lo is None or hi is None else f"{text} [{plain(100 * lo, 1)} to {plain(100 * hi, 1)}]"


def _signed(text: str) -> str:
    if not text.strip("−0.,"):
        return "±0"
    return text if text.startswith(("−", MISSING)) else f"+{text}"


def _alpha(look: LookRecord) -> Value:
    found = look.effective.get("format")
    return None if found is None or found.alpha is None else Range(found.alpha, found.alpha_lo, found.alpha_hi)


def _effective(look: LookRecord, which: str) -> Number:
    found = look.effective.get("format")
    return getattr(found, which) if found else None


def _pass(look: LookRecord, k: int) -> Value:
    found = look.pass_at_k.get(str(k))
    return found.now if found else None


def _few(ks: list[int]) -> list[int]:
    """The smallest, a middle and the largest."""
    return ks if len(ks) <= 3 else [ks[0], ks[len(ks) // 2], ks[-1]]


def _count(value: Number) -> str:
    return MISSING if value is None else f"{value:,.0f}"
