"""From a monitor to the report of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.alarms import ASSUMPTION
from eval.collapse.forecast import forecast
from eval.collapse.gallery import medoids, suppressed
from eval.collapse.monitor import Monitor
from eval.collapse.run_report import Example, RunReport
from eval.facets import adjusted_information, agreement

_FEW_UNITS = 24


def run_report(
    monitor: Monitor,
    name: str,
    source: str,
    alarm_examples: Sequence[Example] = (),
    warnings: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> RunReport:
    """All that a monitor found, for a page.

    Args:
        monitor: After its last look.
        name: Of the run.
        source: Where its samples came from.
        alarm_examples: Samples that were kept at alarms.
        warnings: Of the source.
        settings: Of the run, as far as they are known.

    Raises:
        ValueError: There was no look.
    """
    if monitor.reference is None or not monitor.looks:
        raise ValueError(
            "there is no look to report: expected samples of one step at least. Check that the log holds completions."
        )
    verdict, why = monitor.verdict()
    reference = monitor.reference
    found = [*warnings, *reference.warnings, *_few(monitor)]
    changed = sum(bool(look.warnings) for look in monitor.looks)
    if changed:
        first = next(look for look in monitor.looks if look.warnings)
        found.append(f"{changed} looks give no evidence, the first at step {first.step}: {first.warnings[0]}")
    base = monitor.base_record
    examples = medoids(reference.counted, "base") + list(alarm_examples)
    if (last := monitor.last) is not None:
        examples += medoids(last, "last") + suppressed(reference.counted, last)
    return RunReport(
        name=name,
        source=source,
        num_samples=monitor.num_samples,
        reference=reference.words,
        correctness="" if reference.correctness is None else reference.correctness.words,
        prompts=monitor.prompts,
        base=base,
        looks=monitor.looks,
        quantities=reference.quantities,
        alarms=monitor.alarms,
        verdict=verdict,
        why=why,
        forecast=forecast(base or monitor.looks[0], monitor.looks),
        examples=examples,
        agreement=_agreement(monitor),
        prompt_information=_prompt_information(monitor),
        facets={facet.name: getattr(facet, "description", "a facet of one's own") for facet in monitor.facets},
        guarantee=monitor.guarantee,
        assumptions=_assumptions(monitor),
        warnings=found,
        settings=dict(settings or {}),
    )


def _agreement(monitor: Monitor) -> float | None:
    """Whether rules and clusters tell the same samples apart, at the reference."""
    assert monitor.reference is not None
    labels = monitor.reference.counted.labels
    if not {"format", "cluster"} <= labels.keys():
        return None
    return agreement(labels["format"], labels["cluster"])


def _prompt_information(monitor: Monitor) -> float | None:
    """What a cluster says of the prompt, at the reference."""
    assert monitor.reference is not None
    counted = monitor.reference.counted
    if "cluster" not in counted.labels:
        return None
    return adjusted_information(counted.labels["cluster"], counted.samples.prompt_ids)


def _assumptions(monitor: Monitor) -> list[str]:
    found = [ASSUMPTION]
    if monitor.prompts == "panel":
        found.append(
            "All looks are of one panel of prompts, so completions are units of evidence, and what is said holds of "
            "this panel."
        )
    else:
        found.append(
            "Prompts are drawn anew for each look, from one distribution: a curriculum that changes it looks like a "
            "change of the policy."
        )
    found.append("Labels are frozen at the reference and never depend on whether a sample is correct.")
    return found


def _few(monitor: Monitor) -> list[str]:
    """Evidence grows with the number of units; with few of them silence says little."""
    typical = sorted(look.num_prompts for look in monitor.looks)[len(monitor.looks) // 2]
    if typical >= _FEW_UNITS or monitor.prompts == "panel":
        return []
    return [
        f"A look has {typical} prompts: evidence grows slowly, and silence says little. Looks of several steps "
        "(`every`) hold more."
    ]
