"""What a depth report holds: plain numbers and words that survive JSON. What was not measured is None.

Shape letter: R loops.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.collapse.json_form import from_json, to_json
from eval.report.data import Number, finite, require_title

#: Raised when a field changes its meaning, so that an old report.json is refused and not misread.
SCHEMA = 1


@dataclass(frozen=True)
class Series:
    """One quantity after each of R loops.

    Args:
        mean: Means over tokens.
        lo: Lower ends of 95% intervals over sequences; None where there are none.
        hi: Upper ends.
    """

    mean: list[Number]
    lo: list[Number] | None = None
    hi: list[Number] | None = None


@dataclass(frozen=True)
class SweetSpotRecord:
    """The fewest loops that lose next to nothing; fields as in :class:`eval.depth.sweet_spot.SweetSpot`."""

    loop: int
    lo: int
    hi: int
    agreement: Number
    slack: float
    is_last: bool


@dataclass(frozen=True)
class JacobianRecord:
    """Norm and radius of the loop's Jacobian at the state after a loop, on one sequence.

    Args:
        loop: After how many loops.
        norm: Spectral norm, an estimate from below.
        norm_change: Its relative change in the last iteration.
        radius: Spectral radius, complex pairs included.
        radius_change: Its relative change by the last dimension of the Krylov space.
        step_size: Largest damping under which the state would attract, by the eigenvalues found; 0 if none would.
    """

    loop: int
    norm: Number
    norm_change: Number
    radius: Number
    radius_change: Number
    step_size: Number


@dataclass(frozen=True)
class ToleranceRecord:
    """What stopping at a residual does.

    Args:
        tol: The tolerance.
        mean_depth: Loops a token.
        share_at_cap: Share of tokens that the cap stopped before they had settled.
        kl: KL(p_exit || p_cap), nats a token.
        kl_lo: Lower end of its 95% interval over sequences.
        kl_hi: Upper end.
        cross_entropy: Loss where tokens stopped, nats.
        accuracy: Share of right predictions there.
    """

    tol: float
    mean_depth: float
    share_at_cap: float
    kl: float
    kl_lo: Number
    kl_hi: Number
    cross_entropy: float
    accuracy: float


@dataclass(frozen=True)
class ChoiceRecord:
    """A rule's chosen depths against the oracle's.

    Args:
        rule: In words.
        mean_depth: Loops a token.
        oracle_depth: Mean depth of the oracle, which sees the next token.
        regret: Mean loss above the oracle's, nats.
        regret_of_sweet_spot: The same of a fixed depth at the sweet spot: what a rule must beat.
        correlation: Rank correlation of chosen and best depth; None if the rule treats all tokens alike.
        best_shares: Share of tokens whose best loop is t, R numbers.
    """

    rule: str
    mean_depth: float
    oracle_depth: float
    regret: float
    regret_of_sweet_spot: float
    correlation: Number
    best_shares: list[float]


@dataclass(frozen=True)
class GroupRecord:
    """Depths of one kind of token; fields as in :class:`eval.depth.groups.DepthGroup`."""

    name: str
    num_tokens: int
    mean_depth: float
    shares: list[float]
    oracle_depth: float
    cross_entropy: float


@dataclass(frozen=True)
class AdviceRecord:
    """One thing seen, and what to do about it; fields as in :class:`eval.depth.verdict.Advice`."""

    kind: str
    text: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class DepthReport:
    """Everything that the page shows.

    Args:
        title: Heading.
        model: Name or folder.
        make: Kind of model.
        command: Command line.
        created: ISO 8601 time.
        hardware: Machine in words.
        data: What was measured on, in words.
        versions: Package to version.
        loops: R, loops that were run.
        cap: Loop that divergences are measured to, and cap of the stopping rules.
        trained_loops: Deepest loop of training, as far as the checkpoint tells.
        num_sequences: S.
        num_tokens: Tokens whose prediction counts.
        series: Quantity to its values per loop.
        step_gains: Fall of the loss by loop t + 1, R - 1 values with intervals.
        sweet_spot: Fewest loops that lose next to nothing.
        solved: Share of passages that every prediction was right in, per loop; None unless a task was given.
        jacobian: Rows for some loops.
        tolerances: Calibration curve, ascending.
        chosen_tol: Largest tolerance within ``target_kl``; None if there is none.
        target_kl: Nats a token that were allowed.
        choices: Chosen depths of each rule.
        groups: How tokens were grouped ("position", ...) to the groups, for the first rule of ``choices`` that gives
            tokens different depths.
        advice: Findings with their cure, the verdict first.
        notes: What to keep in mind.
        rewards: Mean reward under w* of answers generated at each depth; None unless they were asked for.
        seconds: Wall clock of the measurement.
        peak_memory_gib: Largest resident memory of the process.
        schema: Version of this form.
    """

    title: str
    model: str
    make: str
    command: str
    created: str
    hardware: str
    data: str
    versions: dict[str, str]
    loops: int
    cap: int
    trained_loops: int
    num_sequences: int
    num_tokens: int
    series: dict[str, Series]
    step_gains: Series
    sweet_spot: SweetSpotRecord
    solved: Series | None
    jacobian: list[JacobianRecord]
    tolerances: list[ToleranceRecord]
    chosen_tol: Number
    target_kl: float
    choices: list[ChoiceRecord]
    groups: dict[str, list[GroupRecord]]
    advice: list[AdviceRecord]
    notes: list[str] = field(default_factory=list)
    rewards: Series | None = None
    seconds: Number = None
    peak_memory_gib: Number = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        require_title(self.title)

    def to_json(self) -> str:
        """JSON text, without NaN."""
        return to_json(self, indent=1)

    @classmethod
    def from_json(cls, text: str) -> DepthReport:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: No JSON, another schema, or fields that do not fit.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the text is not JSON ({error}): expected a depth report. Make it again.") from error
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise ValueError(
                f"the text has depth report schema {schema!r}: expected {SCHEMA}. Make the report again with this "
                "version (vpo depth report)."
            )
        report: DepthReport = from_json(cls, text)
        return report


def numbers(values: Sequence[object]) -> list[Number]:
    """Numbers as JSON holds them: None for what is not finite."""
    return [finite(value) for value in values]
