"""The collapse monitor on a run's rollout log: formats at every step, and since when the move to one is certain.

Twice: over the formats alone, by the task's own labels, and over all facets, which also see openings, lengths and
clusters narrow. The first step, drawn by the base policy, is the reference that sets the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from eval.alarms import ASSUMPTION, FalseAlarms
from eval.collapse.correctness import Correctness
from eval.collapse.counted import Counted, count
from eval.collapse.measures import effective
from eval.collapse.monitor import Monitor
from eval.collapse.offline import watch
from eval.collapse.records import LookRecord
from eval.facets import TaskFacet, default_facets
from eval.samples import Samples
from eval.sources import open_source
from vpo.tasks.format_mixture.solutions import FORMATS

SHARE = 0.8  # of one format: what the study calls collapsed
RATE = 0.05
FURTHER = "opening,answer,length,cluster"
Label = Callable[[str, Any], str]


def watched(folder: Path, label: Label, looks: int) -> dict[str, Any]:
    """Measures of every step and the alarms, as JSON can hold them.

    Args:
        folder: The run's ``rollouts``.
        label: Format of an answer; it must not look at success.
        looks: How many there can be, which the rate of false alarms is for.
    """
    tokens: list[int] = []

    def steps() -> Iterator[Samples]:
        for samples in open_source(folder).read():
            first = np.unique(samples.completions, return_index=True)[1]
            assert samples.tokens is not None
            tokens.append(int(np.asarray(samples.tokens)[first].sum()))
            yield samples

    found = {}
    for name, further in (("formats", []), ("all facets", default_facets(FURTHER))):
        tokens.clear()
        rule = FalseAlarms(rate=RATE, looks=looks)
        monitor = Monitor(
            [TaskFacet(label, "format"), *further], correct="correct", false_alarms=rule, with_vendi=False
        )
        watch(monitor, steps())
        found[name] = monitor
    formats, every = found["formats"], found["all facets"]
    assert formats.reference is not None
    return {
        "steps": [_step(look, spent) for look, spent in zip(formats.looks, tokens, strict=True)],
        "watch": {
            "alarms": _alarms(formats),
            "all facets": _alarms(every),
            "verdict": formats.verdict()[0],
            "bounds": {each.name: each.bound for each in formats.reference.quantities},
            "guarantee": formats.guarantee,
            "assumption": ASSUMPTION,
        },
    }


def measured_panel(panel: dict[str, Any]) -> dict[str, Any]:
    """Shares, accuracies and effective formats of a policy's answers to the panel."""
    formats, correct = np.array(panel["formats"]), np.array(panel["correct"], dtype=float)
    places = np.indices(formats.shape)
    samples = Samples(
        step=0,
        epoch=None,
        prompt_ids=[str(place) for place in places[0].ravel()],
        texts=[""] * formats.size,  # the panel keeps their formats alone
        rewards=correct.reshape(-1, 1),
        components=("correct",),
        completions=(places[0] * formats.shape[1] + places[1]).ravel(),
    )
    return _measured(count(samples, [], Correctness("correct"), {"format": formats.ravel().tolist()}))


def _measured(look: Counted) -> dict[str, Any]:
    tally = look.tallies["format"]
    numbers = effective(tally, RATE)
    right = {name: tally.correct[:, place].sum() for place, name in enumerate(tally.labels)}
    graded = {name: tally.graded[:, place].sum() for place, name in enumerate(tally.labels)}
    return {
        "shares": _with_others(tally.shares),
        "accuracies": {name: float(right[name] / graded[name]) if graded.get(name) else None for name in FORMATS},
        "accuracy": float(np.mean(look.correct)) if look.correct is not None else 0.0,
        "alpha": numbers.alpha,
        "gamma": numbers.gamma,
    }


def _step(look: LookRecord, tokens: int) -> dict[str, Any]:
    numbers, accuracies = look.effective["format"], look.accuracy["format"]
    return {
        "step": look.step,
        "epoch": look.epoch,
        "tokens": tokens,
        "shares": _with_others({name: each.est for name, each in look.shares["format"].items()}),
        "accuracies": {name: accuracies[name].est if name in accuracies else None for name in FORMATS},
        "accuracy": look.reward["correct"],
        "alpha": numbers.alpha,
        "gamma": numbers.gamma,
    }


def _with_others(shares: dict[str, float]) -> dict[str, float]:
    """Shares of the three formats, and of all else."""
    found = {name: shares.get(name, 0.0) for name in FORMATS}
    return {**found, "other": max(0.0, 1 - sum(found.values()))}


def _alarms(monitor: Monitor) -> list[dict[str, Any]]:
    return [
        {
            "step": each.step,
            "epoch": each.epoch,
            "channels": each.quantities,
            "level": each.level,
            "verdict": each.verdict,
        }
        for each in monitor.alarms
    ]
