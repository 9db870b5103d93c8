"""What the monitor writes down while it looks: a record a look, a record an alarm, plain JSON both.

Numbers that were not measured are None, never 0 and never NaN. Shares of a facet sum to 1.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any

Verdict = typing.Literal[
    "no change",
    "nothing to collapse",
    "benign selection",
    "sharpening",
    "costly collapse",
    "wrong winner",
    "degenerate",
    "insufficient data",
]
QuantityKind = typing.Literal["share", "others", "collision", "broken", "coverage", "paired coverage"]
Level = typing.Literal["warning", "critical"]
Strength = typing.Literal["strong", "moderate", "weak", "derived"]


@dataclass(frozen=True)
class Range:
    """An estimate with an interval; ``lo`` and ``hi`` are None where there is none."""

    est: float
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True)
class Effective:
    """Effective numbers (Hill, order 2) of a facet's categories, from unbiased collision probabilities.

    Attributes:
        alpha: Within a prompt: 1 when every prompt always gets the same category. None without two samples of a prompt.
        gamma: Between samples of different prompts. None with a single prompt.
        beta: gamma / alpha: how far prompts have categories of their own.
        alpha_lo: Lower end of the interval of alpha that holds at all looks at once.
        alpha_hi: Upper end.
    """

    alpha: float | None
    gamma: float | None
    beta: float | None
    alpha_lo: float | None = None
    alpha_hi: float | None = None


@dataclass(frozen=True)
class PassAtK:
    """pass@k at a look, beside the base model's on the same prompts.

    Attributes:
        now: Over the look's prompts.
        base: The base model's, over the prompts that both have; None without base samples of half of them.
        difference: now - base on those prompts, paired, with a 95% interval over prompts.
    """

    now: Range
    base: float | None = None
    difference: Range | None = None


@dataclass(frozen=True)
class LookRecord:
    """One look: the samples of one step, or of a few.

    Attributes:
        number: From 1; 0 is the base model.
        step: Last optimizer step that is in it.
        epoch: At that step; None where the log does not say.
        num_prompts: Prompts, P.
        num_samples: Samples, N.
        shares: Facet -> label -> share, mean over prompts, with a band that holds at all looks at once.
        accuracy: Facet -> label -> share of its samples that are correct, with a 95% interval over prompts;
            labels without a sample are missing. Empty without a measure of correctness.
        effective: Facet -> effective numbers.
        pass_at_k: k (as text) -> pass@k. Empty without a measure of correctness.
        reward: Mean of each component.
        best_at_k: k (as text) -> expected utility under w* of the best of k samples.
        expected_best_at_k: The same under random weightings, E_w[best@k]. Empty for a single component.
        pool_l1: Mean L1 distance of two reward vectors of a prompt.
        hypervolume: Of a prompt's reward vectors over the origin, mean over prompts.
        distinct: Different texts of a prompt, mean over prompts.
        vendi: Vendi score of a prompt's texts (character n-grams), mean over prompts.
        samples_a_prompt: N / P, to read ``distinct`` against.
        truncated: Share cut off by the length limit.
        tokens: Mean generated tokens.
        entropy: Mean entropy of the policy, nats a token.
        depth: Format -> mean loops a token.
        settings: What the trainer used at that step: ``learning_rate``, ``beta``, ``temperature`` and the like.
        evidence: Watched quantity -> natural logarithm of the evidence that it is above its bound.
        log_evidence: Of the mean over all watched quantities: what is held against ``log_threshold``.
        log_threshold: Where an alarm is raised.
        alarm: Whether this look raised one.
        warnings: What a reader of its numbers must know, in sentences.
        state: What the monitor needs to go on after this look.
    """

    number: int
    step: int
    epoch: float | None
    num_prompts: int
    num_samples: int
    shares: dict[str, dict[str, Range]] = field(default_factory=dict)
    accuracy: dict[str, dict[str, Range]] = field(default_factory=dict)
    effective: dict[str, Effective] = field(default_factory=dict)
    pass_at_k: dict[str, PassAtK] = field(default_factory=dict)
    reward: dict[str, float] = field(default_factory=dict)
    best_at_k: dict[str, float] = field(default_factory=dict)
    expected_best_at_k: dict[str, float] = field(default_factory=dict)
    pool_l1: float | None = None
    hypervolume: float | None = None
    distinct: float | None = None
    vendi: float | None = None
    samples_a_prompt: float | None = None
    truncated: float | None = None
    tokens: float | None = None
    entropy: float | None = None
    depth: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, float] = field(default_factory=dict)
    log_evidence: float | None = None
    log_threshold: float | None = None
    alarm: bool = False
    warnings: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """A change of the trainer's own settings that may help.

    Attributes:
        trainer: ``trl``, ``vpo``, ``verl`` or ``openrlhf``: whose keys these are.
        changes: Key -> [value now, value proposed], as the trainer's configuration spells them; None for a value that
            is not known.
        reason: What it is meant to do, in a sentence.
        strength: Of the evidence for it.
        source: Where that evidence stands.
        caution: What may go wrong.
    """

    trainer: str
    changes: dict[str, list[Any]]
    reason: str
    strength: Strength
    source: str
    caution: str = ""


@dataclass(frozen=True)
class Quantity:
    """Something that is watched: the mean over prompts of a number in [0, 1], and the bound that it should not exceed.

    Attributes:
        name: Unique.
        facet: The facet that it belongs to; "" for pass@k and the like.
        bound: Alarm when the mean is above.
        base: Its mean over the base model's samples.
        meaning: In words.
        kind: ``share`` of samples with ``label``; ``others``: with no label that has a quantity of its own;
            ``collision``: chance that two samples of a prompt have one label; ``broken``: empty, cut off or endless
            samples; ``coverage``: chance that ``k`` samples do not solve a prompt; ``paired coverage``: the same
            against the base model's samples of that prompt.
        label: Of a share.
        known: Labels that ``others`` leaves out.
        k: Of coverage.
    """

    name: str
    facet: str
    bound: float
    base: float | None
    meaning: str
    kind: QuantityKind = "share"
    label: str = ""
    known: list[str] = field(default_factory=list)
    k: int = 0


@dataclass(frozen=True)
class AlarmRecord:
    """An alarm, with all that is needed to judge it.

    Attributes:
        look: Number of the look.
        step: Its step.
        epoch: Its epoch.
        level: Whether it can wait.
        quantities: Names of the quantities that are above their bounds, strongest evidence first.
        sentence: What happened, with the numbers.
        log_evidence: Reached.
        log_threshold: Needed.
        guarantee: How often such an alarm is false, in words.
        assumption: What the guarantee rests on.
        verdict: What the numbers at this look say of the change.
        why: The numbers behind the verdict, in a sentence.
        actions: What may be done.
    """

    look: int
    step: int
    epoch: float | None
    level: Level
    quantities: list[str]
    sentence: str
    log_evidence: float
    log_threshold: float
    guarantee: str
    assumption: str
    verdict: Verdict
    why: str
    actions: list[Action] = field(default_factory=list)
