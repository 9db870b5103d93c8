"""The words of the report: verdicts, alarms, settings, numbers as they are printed, and the glossary."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eval.collapse.records import Action, AlarmRecord, LookRecord, Range, Strength, Verdict
from eval.report.data import finite
from eval.report.words import MISSING


@dataclass(frozen=True)
class VerdictWords:
    """A verdict as a headline, what it means, and whether it is good news."""

    headline: str
    meaning: str
    tone: Literal["good", "neutral", "bad"]


VERDICTS: dict[Verdict, VerdictWords] = {
    "no change": VerdictWords(
        "No change of formats was found",
        "Nothing that was watched rose above its bound with enough evidence.",
        "good",
    ),
    "nothing to collapse": VerdictWords(
        "There was nothing to collapse",
        "The reference writes nearly everything in one format already, so no format can be lost.",
        "neutral",
    ),
    "benign selection": VerdictWords(
        "One format won, and it is the best one",
        "The format that gained is the reference's most accurate, and pass@k did not fall.",
        "good",
    ),
    "sharpening": VerdictWords(
        "The policy sharpens and finds nothing new",
        "pass@1 rose while pass@k did not: the same answers come more often. More training may buy little.",
        "neutral",
    ),
    "costly collapse": VerdictWords(
        "Formats collapsed, and answers were lost with them",
        "pass@k is below the base model's: the policy no longer finds answers that it used to find.",
        "bad",
    ),
    "wrong winner": VerdictWords(
        "A less accurate format is winning",
        "The format that gained is less accurate than one that it pushes out.",
        "bad",
    ),
    "degenerate": VerdictWords(
        "The samples degenerate",
        "Truncated, repetitive or unreadable samples grow more common: this is damage, not a choice of format.",
        "bad",
    ),
    "insufficient data": VerdictWords(
        "There is too little data for a verdict",
        "Too few looks or prompts, or no reference: neither a change nor its absence can be claimed.",
        "neutral",
    ),
}

STRENGTHS: dict[Strength, str] = {
    "strong": "strong evidence",
    "moderate": "moderate evidence",
    "weak": "weak evidence",
    "derived": "derived, not measured",
}

GLOSSARY = (
    ("look", "One evaluation of the policy: the samples of one step, or of a few neighbouring ones."),
    ("base", "The model before reinforcement learning, sampled on the same prompts where they are known."),
    ("share", "How many of a prompt's samples carry a label, averaged over prompts. The shares of a facet sum to 1."),
    ("facet", "One way to sort samples: by format, opening, answer, length, or a cluster of similar layout."),
    (
        "band",
        "Of shares and alpha: holds at all looks at once, so looking often makes no change appear. Of accuracy and "
        "pass@k: 95% by the spread between prompts, for one look.",
    ),
    (
        "effective formats, alpha",
        "How many equally common formats a prompt's samples are worth. 1: a prompt always gets the same format.",
    ),
    (
        "effective formats, gamma",
        "The same between samples of different prompts: how many formats the policy has at all.",
    ),
    (
        "effective formats, beta",
        "gamma / alpha: near 1, prompts get the same mixture; above, each prompt its own format.",
    ),
    ("token entropy", "How undecided the policy is about its next token. It can rise while formats are lost."),
    ("pass@k", "How likely one of k samples is correct. It counts what a search on top of the policy can still find."),
    ("best@k, E_w[best@k]", "The best reward among k samples, under fixed weights and averaged over random ones."),
    ("pool L1", "How far apart the reward vectors of a prompt's samples lie. 0: all earn the same."),
    ("hypervolume", "How much reward space a prompt's samples cover together."),
    ("distinct", "How many different texts a prompt has among its samples."),
    ("Vendi score", "How many unlike texts a prompt has; near-copies count as one."),
    (
        "evidence",
        "What bets against “the mean is not above its bound” have grown to. If that is true they rarely grow large, "
        "however often one looks; a change that stays below the bound lets them shrink. Charts show logarithms.",
    ),
    ("log-odds", "ln(share / (1 − share)): a steady advantage moves it along a straight line."),
    ("medoid", "The sample most like all others of its label."),
)


def number(value: float | None) -> float | None:
    """A finite number, or None."""
    return finite(value)


def percent(value: float | None) -> str:
    """A share as it is printed."""
    found = finite(value)
    return MISSING if found is None else f"{100 * found:.1f}%".replace("-", "−")


def plain(value: float | None, digits: int = 2) -> str:
    """A number as it is printed."""
    found = finite(value)
    if found is None:
        return MISSING
    digits = 0 if abs(found) >= 1000 else min(digits, 1) if abs(found) >= 100 else digits
    return f"{found:,.{digits}f}".replace("-", "−")


def interval(value: Range | None, as_share: bool = True) -> str:
    """An estimate's interval as it is printed, "" without one."""
    if value is None or finite(value.lo) is None or finite(value.hi) is None:
        return ""
    write = percent if as_share else plain
    return f"{write(value.lo).rstrip('%')} to {write(value.hi)}"


def look_place(look: LookRecord) -> str:
    """Where a look stands in the run."""
    epoch = finite(look.epoch)
    return f"step {look.step:,}" + ("" if epoch is None else f", epoch {epoch:.3g}")


def alarm_place(alarm: AlarmRecord) -> str:
    """Where an alarm stands in the run."""
    epoch = finite(alarm.epoch)
    return f"step {alarm.step:,}" + ("" if epoch is None else f", epoch {epoch:.3g}") + f", look {alarm.look:,}"


def value_text(value: Any) -> str:
    """A setting's value as a configuration spells it; None is not known."""
    if value is None:
        return "?"
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else "?"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings in a line."""
    return ", ".join(f"{key} = {value_text(value)}" for key, value in settings.items())


def changes_of(action: Action) -> list[tuple[str, str, str]]:
    """Key, value now and value proposed of each change."""
    return [
        (key, value_text(pair[0] if pair else None), value_text(pair[1] if len(pair) > 1 else None))
        for key, pair in action.changes.items()
    ]
