"""The monitor: looks in, records and alarms out. It reads samples and nothing else - no files, no trainer, no clock.

Its state is a fold over what :meth:`Monitor.look` was given; a resumed run folds its records instead, which hold each
look's gains (:meth:`Monitor.resume`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from eval.alarms import AlarmPanel, Channel, FalseAlarms
from eval.collapse.ahead import Labels, join_labels
from eval.collapse.counted import Counted, count
from eval.collapse.measured import measured
from eval.collapse.quantities import BASE_ALPHA, Thresholds, quantity_values
from eval.collapse.raised import alarm_record
from eval.collapse.records import AlarmRecord, LookRecord, Quantity
from eval.collapse.reference import Reference, set_reference
from eval.collapse.verdicts import Standing, judge
from eval.samples import Facet, Samples, merge
from eval.sources.sampling import PROMPT_TEMPLATE, sampling_change

_WINDOW = 5  # looks that "now" stands for in a verdict
_ALPHA = 0.05  # of the bands that hold at all looks


class Monitor:
    """Watches a run.

    Args:
        facets: Categorical readings; one named ``format`` is what verdicts are about.
        base: The base model's samples; None takes the first look for reference.
        correct: Component that says whether a sample is correct, as ``accuracy_reward`` or ``score>=0.5``; None
            guesses.
        w_star: (D,) weights of deployment; None weighs all components alike.
        prompts: ``fresh`` if each look draws its own, ``panel`` if all looks are of the same ones.
        every: Steps in a look.
        thresholds: Where changes matter.
        false_alarms: How often an alarm may be false.
        trainer: ``trl``, ``vpo``, ``verl`` or ``openrlhf``, for suggestions in its own keys.
        with_vendi: Whether Vendi scores are computed, the dearest measure.

    Attributes:
        looks: Records so far.
        alarms: Alarms so far.
        base_record: Look 0; None where the first look is the reference.
        reference: Fixed at the first look; None before.
        num_samples: Samples seen, of looks that are complete.
        recent: The last looks that can be held against the reference, oldest first; none yet after a resumption.
        last: The last look, whatever it can be held against.

    Raises:
        ValueError: No facet ``format``, two of one name, ``every`` below 1, or ``prompts`` is another word.
    """

    def __init__(
        self,
        facets: Sequence[Facet],
        base: Samples | None = None,
        correct: str | None = None,
        w_star: Sequence[float] | None = None,
        prompts: Literal["fresh", "panel"] = "fresh",
        every: int = 1,
        thresholds: Thresholds | None = None,
        false_alarms: FalseAlarms | None = None,
        trainer: str = "trl",
        with_vendi: bool = True,
    ) -> None:
        names = [facet.name for facet in facets]
        if "format" not in names or len(set(names)) < len(names):
            raise ValueError(f"facets are {names}: expected names that differ, 'format' among them.")
        if every < 1:
            raise ValueError(f"every is {every}: expected 1 or more steps in a look.")
        if prompts not in ("fresh", "panel"):
            raise ValueError(f"prompts is {prompts!r}: expected 'fresh' or 'panel'.")
        self.facets = list(facets)
        self.base = base
        self.correct = correct
        self.w_star = w_star
        self.prompts = prompts
        self.every = every
        self.thresholds = thresholds or Thresholds()
        self.false_alarms = false_alarms or FalseAlarms()
        self.trainer = trainer
        self.with_vendi = with_vendi
        self.looks: list[LookRecord] = []
        self.alarms: list[AlarmRecord] = []
        self.base_record: LookRecord | None = None
        self.reference: Reference | None = None
        self.num_samples = 0
        self.recent: deque[Counted] = deque(maxlen=_WINDOW)
        self.last: Counted | None = None
        self._panel: AlarmPanel | None = None
        self._prompts: set[str] = set()  # of the panel
        self._first: Samples | None = None  # whose prompt template the others should have
        self._pending: list[tuple[Samples, Labels | None]] = []

    def look(
        self, samples: Samples, settings: Mapping[str, Any] | None = None, labels: Labels | None = None
    ) -> LookRecord | None:
        """Take in the samples of one step.

        Args:
            samples: Of the step; steps ascend.
            settings: What the trainer used at it, such as its learning rate.
            labels: Facet -> labels of the samples by the fitted facets, where another process computed them.

        Returns:
            The look's record; None while a look of several steps is not complete.

        Raises:
            ValueError: The components are others than before, or as :func:`~eval.collapse.reference.set_reference`.
        """
        if not len(samples):
            return None
        self._pending.append((samples, labels))
        return self.finish(settings) if len(self._pending) >= self.every else None

    def finish(self, settings: Mapping[str, Any] | None = None) -> LookRecord | None:
        """Close a look that is not complete; None if there is none."""
        if not self._pending:
            return None
        parts, self._pending = self._pending, []
        samples = merge([each for each, _ in parts])
        if self.reference is None:
            self.set_reference(samples)
        assert self.reference is not None
        known = self.reference.counted.samples.components
        # Of a step without one answer that could be read, a log does not know them.
        if known and samples.components and samples.components != known:
            raise ValueError(
                f"step {samples.step} has components {list(samples.components)}, before there were "
                f"{list(known)}: a reward function was added, left out or renamed "
                "in the middle of the run. Look at the two parts as two runs."
            )
        self._see_prompts(samples)
        samples = self.reference.comparable(samples)
        look = count(samples, self.facets, self.reference.correctness, join_labels([labels for _, labels in parts]))
        self.last = look
        self.num_samples += len(samples)
        record = self._record(look, dict(settings or {}))
        self.looks.append(record)
        return record

    def _see_prompts(self, samples: Samples) -> None:
        """See that a panel is one: what is shared by a prompt's samples is luck, unless all looks have the same."""
        if self.prompts != "panel":
            return
        found = set(samples.prompt_ids)
        self._prompts = self._prompts or found
        if strange := found - self._prompts:
            raise ValueError(
                f"step {samples.step} has {len(strange)} of {len(found)} prompts that the first look lacks, expected "
                "one panel of prompts for all looks. If each look draws its own, they are 'fresh' (--prompts fresh)."
            )

    def set_reference(self, first: Samples) -> None:
        """Fix reference, facets and bounds; ``first`` are the samples of the first look."""
        self.reference = set_reference(
            self.base, first, self.facets, self.correct, self.thresholds, self.prompts == "panel"
        )
        self.watch(self.reference)

    def watch(self, reference: Reference) -> None:
        """Begin with a reference that is set, as a resumed run does."""
        self.reference = reference
        channels = [Channel(each.name, each.bound, each.meaning) for each in reference.quantities]
        self._panel = AlarmPanel(channels, self.false_alarms)
        if not reference.is_first_look:
            self.base_record = self._measured(reference.counted, 0, {}, _ALPHA)

    def resume(self, records: Sequence[LookRecord], alarms: Sequence[AlarmRecord]) -> None:
        """Go on after looks that were recorded; the reference must be set.

        Args:
            records: In order, from the first.
            alarms: Those of these looks.
        """
        assert self._panel is not None
        for record in records:
            if gains := record.state.get("gains"):  # a look that was no evidence has none
                self._panel.take(record.step, gains)
        self.looks, self.alarms = list(records), list(alarms)
        self.num_samples = sum(record.num_samples for record in records)

    @property
    def guarantee(self) -> str:
        """How often an alarm may be false, in words."""
        words = self.false_alarms.guarantee_after(self._panel.looks if self._panel else 0)
        quantities = self.reference.quantities if self.reference else []
        if any(each.kind.endswith("coverage") for each in quantities):
            words += f" To this comes {BASE_ALPHA:.0%} for the base model's pass@k being taken too high."
        return words

    @property
    def named(self) -> list[Quantity]:
        """Quantities that alarms have named."""
        quantities = self.reference.quantities if self.reference else []
        names = {name for alarm in self.alarms for name in alarm.quantities}
        return [each for each in quantities if each.name in names]

    def verdict(self) -> tuple[Any, str]:
        """Verdict and its reason at the last looks."""
        if self.reference is None or not self.looks:
            return "insufficient data", "There was no look yet."
        if not self.recent and self.last is None:
            return "insufficient data", "There was no look since the run was resumed."
        if not self.recent:
            return "insufficient data", (
                f"No look of {len(self.looks)} can be held against the {self.reference.words}: it is the reference "
                "itself, or was sampled otherwise."
            )
        evidence = self._panel.logs if self._panel else {}
        return judge(self.standing(), self.named, evidence, self.thresholds)

    def standing(self) -> Standing:
        """Base and now."""
        assert self.reference is not None
        return Standing(self.reference.counted, list(self.recent), self.prompts == "panel")

    def _record(self, look: Counted, settings: dict[str, Any]) -> LookRecord:
        assert self.reference is not None and self._panel is not None
        number = len(self.looks) + 1
        changed = self._sampling_change(look.samples)
        warnings = []
        if changed:
            warnings.append(
                f"Sampled otherwise than the {self.reference.words}, so this look is no evidence, and its shares must "
                f"not be read as a change of the policy. {changed}"
            )
        alarm = None
        gains: dict[str, Any] = {}
        if not changed and not (self.reference.is_first_look and number == 1):
            self.recent.append(look)
            alarm = self._alarm(look, number, settings)
            gains = {name: each.tolist() for name, each in self._panel.gains.items()}
            self.alarms += [alarm] if alarm else []
        logs = {name: value for name, value in self._panel.logs.items() if np.isfinite(value)}
        total = self._panel.log_evidence
        measures = self._measured(look, number, settings, _ALPHA / (number * (number + 1)))
        fields = {
            "evidence": logs,
            "log_evidence": total if np.isfinite(total) else None,
            "log_threshold": self.false_alarms.log_threshold,
            "alarm": alarm is not None,
            "warnings": warnings,
            "state": {"gains": gains},
        }
        return LookRecord(**{**vars(measures), **fields})

    def _sampling_change(self, samples: Samples) -> str | None:
        """What differs from the reference; prompt templates, read off prompts, are compared within one log alone."""
        assert self.reference is not None
        reference = self.reference.counted.samples
        if not self.reference.is_first_look:
            known = {name: value for name, value in reference.sampling.items() if name != PROMPT_TEMPLATE}
            if found := sampling_change(replace(reference, sampling=known), samples):
                return found
        self._first = self._first or (reference if self.reference.is_first_look else samples)
        return sampling_change(self._first, samples)

    def _measured(self, look: Counted, number: int, settings: dict[str, Any], alpha: float) -> LookRecord:
        solved = self.reference.solved if number and self.reference else {}
        return measured(look, number, settings, alpha, solved, self.w_star, self.with_vendi)

    def _alarm(self, look: Counted, number: int, settings: dict[str, Any]) -> AlarmRecord | None:
        """Take in the evidence of a look: an alarm if it names something new, or what it named has become critical."""
        assert self.reference is not None and self._panel is not None
        quantities = {each.name: each for each in self.reference.quantities}
        values = quantity_values(self.reference.quantities, look, self.reference.solved, self.prompts == "panel")
        alarm = self._panel.look(look.samples.step, values)
        if alarm is None and (not self.alarms or any(each.level == "critical" for each in self.alarms)):
            return None
        named = [quantities[name] for name in alarm.channels] if alarm else []
        return alarm_record(
            look,
            number,
            self.standing(),
            named,
            self.named,
            values,
            self._panel,
            self.thresholds,
            self.guarantee,
            self.trainer,
            settings,
        )
