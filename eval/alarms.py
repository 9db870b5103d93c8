"""Alarms with a guarantee in words: several things are watched at once, look after look, and one rate covers them all.

A *channel* is a number in [0, 1] for each prompt and a bound that its mean should not exceed. The evidence of all
channels is averaged, which keeps its guarantee (a mean of e-values is one): watching more formats raises no more false
alarms, it costs a factor of their number. Which channels an alarm names is decided by the e-BH
procedure (Wang and Ramdas, arXiv 2009.02824), whatever they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpo.evidence import Evidence, log_gains

ASSUMPTION = (
    "Prompts of a look are drawn, and their samples decoded, independently of each other given the policy: fresh "
    "prompts at each look, or a fixed panel sampled at a temperature above 0 with new seeds. Greedy decoding, a prompt "
    "that counts twice, rollouts of an older policy, and a changed template or temperature break it."
)


@dataclass(frozen=True)
class Channel:
    """Something that is watched.

    Attributes:
        name: Unique among the channels.
        bound: In (0, 1): alarm when the mean over prompts is above it.
        meaning: What its number is for one prompt, in words.
    """

    name: str
    bound: float
    meaning: str = ""


@dataclass(frozen=True)
class FalseAlarms:
    """How often an alarm may be false: a rate over a number of looks, a rate for ever, or a mean time between them.

    Attributes:
        rate: Probability of any false alarm among all channels.
        looks: T, the looks that the rate is for; None for any number of them.
        run_length: Instead of a rate: least mean number of looks until a false alarm. For monitors that run for ever.

    Raises:
        ValueError: Both or neither of rate and run length are given, or a number is out of range.
    """

    rate: float | None = 0.05
    looks: int | None = None
    run_length: float | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.run_length is None):
            raise ValueError(
                f"rate is {self.rate} and run_length {self.run_length}: expected one of the two. Give "
                "FalseAlarms(rate=0.05), or FalseAlarms(rate=None, run_length=1000)."
            )
        if self.rate is not None and not 0 < self.rate < 1:
            raise ValueError(f"rate is {self.rate}: expected a probability in (0, 1), such as 0.05.")
        if self.looks is not None and (self.looks < 1 or self.rate is None):
            raise ValueError(f"looks is {self.looks}: expected 1 or more, and only together with a rate.")
        if self.run_length is not None and not self.run_length > 1:
            raise ValueError(f"run_length is {self.run_length}: expected more than 1 look.")

    @property
    def log_threshold(self) -> float:
        """Natural logarithm of the evidence that raises an alarm."""
        if self.run_length is not None:
            return math.log(self.run_length)
        assert self.rate is not None
        return math.log((self.looks or 1) / self.rate)

    def evidence_of(self, evidence: Evidence) -> float:
        """The logarithm that is held against the threshold."""
        return evidence.log_spread if self.rate is not None and self.looks is None else evidence.log_restarted

    @property
    def guarantee(self) -> str:
        """The guarantee in words."""
        if self.run_length is not None:
            return (
                f"If no channel's mean is above its bound, an alarm takes {self.run_length:g} looks or more on average."
            )
        during = f"over {self.looks} looks" if self.looks else "however many looks there are"
        never = "If no channel's mean is ever above its bound"
        return f"{never}, the chance of any alarm is at most {self.rate:.2g} {during}."

    def guarantee_after(self, looks: int) -> str:
        """:attr:`guarantee`, and that it has run out where more looks were taken than it is for."""
        if self.looks is None or looks <= self.looks:
            return self.guarantee
        return f"{self.guarantee} Of look {self.looks + 1} and later ones, and this was look {looks}, it says nothing."


@dataclass(frozen=True)
class Alarm:
    """A mean is above its bound.

    Attributes:
        step: Training step of the look that raised it.
        look: Its number, from 1.
        channels: Names, strongest first.
        log_evidence: Mean evidence of all channels, natural logarithm.
        log_threshold: What it had to reach.
        guarantee: See :attr:`FalseAlarms.guarantee`.
        assumption: What it rests on, :data:`ASSUMPTION`.
    """

    step: int
    look: int
    channels: tuple[str, ...]
    log_evidence: float
    log_threshold: float
    guarantee: str
    assumption: str = ASSUMPTION


@dataclass(eq=False)
class AlarmPanel:
    """All channels of a run and the evidence in them.

    The state is a fold over what :meth:`look` was given: a resumed run replays its looks.

    Args:
        channels: What is watched; fixed before the first look, or the guarantee is lost.
        false_alarms: How often an alarm may be false.

    Attributes:
        evidence: Name -> the channel's evidence.
        alarms: Raised so far.
        looks: Looks so far.
        gains: Channel -> (L,) logarithms of what the last look multiplied each bet's stake by.

    Raises:
        ValueError: There are no channels, or two of one name.
    """

    channels: Sequence[Channel]
    false_alarms: FalseAlarms = FalseAlarms()
    evidence: dict[str, Evidence] = field(init=False)
    alarms: list[Alarm] = field(init=False, default_factory=list)
    looks: int = field(init=False, default=0)
    gains: dict[str, NDArray[np.float64]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"channels are {names}: expected at least one, each with a name of its own.")
        self.evidence = {channel.name: Evidence(channel.bound) for channel in self.channels}

    def look(self, step: int, values: Mapping[str, ArrayLike]) -> Alarm | None:
        """Take in one look.

        Args:
            step: Training step.
            values: Channel -> (P,) numbers in [0, 1], one a prompt. A channel that cannot be measured at this look may
                be missing; its evidence stays where it is.

        Returns:
            An alarm, if the threshold is reached and names a channel that no earlier alarm has named.

        Raises:
            ValueError: An unknown channel, or values that no channel takes.
        """
        if unknown := sorted(values.keys() - self.evidence.keys()):
            raise ValueError(
                f"channels {unknown} are unknown: expected some of {sorted(self.evidence)}. Channels are fixed before "
                "the first look; give new ones to a new panel."
            )
        gains = {name: log_gains(given, self.evidence[name].bound) for name, given in values.items()}
        return self.take(step, gains)

    def take(self, step: int, gains: Mapping[str, ArrayLike]) -> Alarm | None:
        """Take in one look by its channels' gains, as :attr:`gains` held them: how a resumed run restores its looks."""
        for name, given in gains.items():
            self.evidence[name].take(given)
        self.gains = {name: np.asarray(given, dtype=np.float64) for name, given in gains.items()}
        self.looks += 1
        logs, total = self.logs, self.log_evidence
        if total < self.false_alarms.log_threshold:
            return None
        named = self._named(logs)
        if set(named) <= {name for alarm in self.alarms for name in alarm.channels}:
            return None
        guarantee = self.false_alarms.guarantee_after(self.looks)
        alarm = Alarm(step, self.looks, named, total, self.false_alarms.log_threshold, guarantee)
        self.alarms.append(alarm)
        return alarm

    @property
    def logs(self) -> dict[str, float]:
        """Channel -> natural logarithm of its evidence; minus infinity where there is none yet."""
        return {name: self.false_alarms.evidence_of(each) for name, each in self.evidence.items()}

    @property
    def log_evidence(self) -> float:
        """Natural logarithm of the mean evidence of all channels: what is held against the threshold."""
        return float(np.logaddexp.reduce(list(self.logs.values())) - math.log(len(self.evidence)))

    def _named(self, logs: Mapping[str, float]) -> tuple[str, ...]:
        """Channels by e-BH; the strongest where it names none, as their mean may suffice when no single one does."""
        ranked = sorted(logs, key=lambda name: -logs[name])
        threshold = self.false_alarms.log_threshold + math.log(len(ranked))
        named = max((i for i, name in enumerate(ranked, 1) if logs[name] >= threshold - math.log(i)), default=1)
        return tuple(ranked[:named])
