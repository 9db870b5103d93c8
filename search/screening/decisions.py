"""What a screen decided about an answer, and when it was switched, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["keep", "audit", "drop"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision about one answer that was not evaluated before. Letter: D components.

    Attributes:
        answer: The answer as parsed.
        key: Its name, as in `search.outcomes.answer_key`.
        verdict: "keep" if it may matter, "drop" if not, "audit" if not but drawn to be evaluated all the same.
        on: Whether the screen was on. While it is off it says "keep" or "drop" too, but everything is evaluated.
        period: Number of times that the screen had been switched by then.
        mean: (D,) rewards foreseen.
        spread: (D,) their standard deviations, or None.
        merit: How far the answer may be ahead of what is known, see `search.screening.front`.
        bar: Least merit to be kept.
    """

    answer: str
    key: str
    verdict: Verdict
    on: bool
    period: int
    mean: tuple[float, ...]
    spread: tuple[float, ...] | None
    merit: float
    bar: float

    @property
    def evaluated(self) -> bool:
        """Whether the answer is evaluated."""
        return not self.on or self.verdict != "drop"


@dataclass(frozen=True)
class Switch:
    """The screen was switched.

    Attributes:
        on: Whether it is on now.
        period: The number of the period that begins.
        num_told: Results that were told by then.
        reason: Why, in words.
    """

    on: bool
    period: int
    num_told: int
    reason: str


def num_dropped(decisions: Iterable[Decision]) -> int:
    """Answers that are not evaluated."""
    return sum(not each.evaluated for each in decisions)


def write_decision(decision: Decision) -> dict[str, Any]:
    """As JSON."""
    return {
        # The text of an answer that is evaluated stands among the answers
        **({} if decision.evaluated else {"answer": decision.answer}),
        "key": decision.key,
        "verdict": decision.verdict,
        "on": decision.on,
        "period": decision.period,
        "mean": list(decision.mean),
        "spread": None if decision.spread is None else list(decision.spread),
        "merit": decision.merit,
        "bar": decision.bar,
    }


def read_decision(written: dict[str, Any], answers: dict[str, str]) -> Decision:
    """Inverse of `write_decision`.

    Args:
        written: What it gave.
        answers: Key -> text of the answers that were evaluated.
    """
    spread = written["spread"]
    return Decision(
        answer=written["answer"] if "answer" in written else answers[written["key"]],
        key=written["key"],
        verdict=written["verdict"],
        on=written["on"],
        period=written["period"],
        mean=tuple(written["mean"]),
        spread=None if spread is None else tuple(spread),
        merit=written["merit"],
        bar=written["bar"],
    )
