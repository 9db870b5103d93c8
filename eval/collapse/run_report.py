"""What the monitor says of a run in the end: all of its looks and alarms, the verdict, examples; ``report.json``."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any

from eval.collapse.records import AlarmRecord, LookRecord, Quantity, Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Forecast:
    """Where the shares are heading.

    Attributes:
        leader: The label that gained most.
        by_base: Label that base share times base accuracy says will win; None without accuracies.
        slope: Change of the leader's log-odds a step (Theil-Sen over the last looks); None with fewer than five looks.
        steps_to_95: Steps until the leader has 95% of samples at that slope; None if it does not get there.
        sentence: All of it in words, with its caution.
    """

    leader: str
    by_base: str | None
    slope: float | None
    steps_to_95: float | None
    sentence: str


@dataclass(frozen=True)
class Example:
    """A sample that is shown.

    Attributes:
        kind: ``medoid`` of its label, or ``suppressed``: correct, in a format that the policy has given up.
        facet: Facet of the label.
        label: Its label.
        when: ``base``, ``alarm`` or ``last``.
        step: Step that it is from.
        prompt: Its prompt; "" where the log does not hold it.
        text: The sample.
        correct: Whether it is; None if that is not known.
    """

    kind: typing.Literal["medoid", "suppressed"]
    facet: str
    label: str
    when: typing.Literal["base", "alarm", "last"]
    step: int
    prompt: str
    text: str
    correct: bool | None


@dataclass(frozen=True)
class RunReport:
    """All of one run.

    Attributes:
        name: Shown in titles and legends.
        source: Where the samples come from, such as ``TRL completions``.
        num_samples: Read in all.
        reference: ``base model`` or ``first look``: what changes are measured against.
        correctness: What counts as correct, in words; "" if nothing does.
        prompts: ``fresh`` or ``panel``.
        base: Look 0.
        looks: In order.
        quantities: What was watched.
        alarms: In order.
        verdict: At the last look.
        why: The numbers behind it.
        forecast: None without enough looks.
        examples: Shown in the gallery.
        agreement: Adjusted Rand index between the rules' formats and the clusters, at the reference; None without both.
        prompt_information: Adjusted mutual information between clusters and prompts, at the reference: near 0 is good.
        facets: Facet -> what it is, in a sentence.
        guarantee: Of alarms, in words.
        assumptions: What all of it rests on.
        warnings: What a reader must know.
        settings: Settings of the run that are known: trainer, sampling, configuration.
    """

    name: str
    source: str
    num_samples: int
    reference: str
    correctness: str
    prompts: str
    base: LookRecord | None
    looks: list[LookRecord]
    quantities: list[Quantity]
    alarms: list[AlarmRecord]
    verdict: Verdict
    why: str
    forecast: Forecast | None = None
    examples: list[Example] = field(default_factory=list)
    agreement: float | None = None
    prompt_information: float | None = None
    facets: dict[str, str] = field(default_factory=dict)
    guarantee: str = ""
    assumptions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CollapseReport:
    """One run or several, for one page."""

    title: str
    runs: list[RunReport]
    schema_version: int = SCHEMA_VERSION
