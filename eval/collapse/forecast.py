"""Where shares are heading: the slope of the leader's log-odds, and what base shares and accuracies would say.

Under replicator dynamics the log-odds of two formats move at a rate proportional to the gap of their accuracies, so
log-odds are what is extrapolated; the slope is Theil and Sen's, which a few odd looks do not move. Neither is a
promise: in Echo Chamber (arXiv 2504.07912) the 1B model settled on a format that was neither the most frequent nor the
most often right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from eval.collapse.records import LookRecord
from eval.collapse.run_report import Forecast

_WINDOW = 40
_LEAST_LOOKS = 5


def forecast(base: LookRecord, looks: Sequence[LookRecord], facet: str = "format") -> Forecast | None:
    """Forecast from a run's looks.

    Args:
        base: The reference.
        looks: In order.
        facet: Whose labels compete.

    Returns:
        None without looks or without the facet.
    """
    if not looks or facet not in base.shares:
        return None
    before = {label: each.est for label, each in base.shares[facet].items()}
    now = {label: each.est for label, each in looks[-1].shares[facet].items()}
    leader = max(now, key=lambda label: now[label] - before.get(label, 0.0))
    by_base = _by_base(base, facet)
    slope = _slope([(look.step, _share(look, facet, leader)) for look in looks[-_WINDOW:]])
    steps = _steps_to(0.95, now[leader], slope)
    return Forecast(leader, by_base, slope, steps, _sentence(leader, by_base, now[leader], slope, steps))


def _by_base(base: LookRecord, facet: str) -> str | None:
    accuracy = base.accuracy.get(facet, {})
    mass = {label: base.shares[facet][label].est * each.est for label, each in accuracy.items()}
    return max(mass, key=lambda label: mass[label]) if mass and max(mass.values()) > 0 else None


def _share(look: LookRecord, facet: str, label: str) -> float:
    return look.shares[facet][label].est if label in look.shares.get(facet, {}) else 0.0


def _slope(points: Sequence[tuple[int, float]]) -> float | None:
    if len(points) < _LEAST_LOOKS:
        return None
    odds = [(step, math.log(min(max(p, 1e-3), 1 - 1e-3) / (1 - min(max(p, 1e-3), 1 - 1e-3)))) for step, p in points]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(odds, 2) if b[0] > a[0]]
    return float(np.median(slopes)) if slopes else None


def _steps_to(goal: float, share: float, slope: float | None) -> float | None:
    if slope is None or share >= goal:
        return 0.0 if share >= goal else None
    if slope <= 1e-6:
        return None
    share = max(share, 1e-3)
    return (math.log(goal / (1 - goal)) - math.log(share / (1 - share))) / slope


def _sentence(leader: str, by_base: str | None, share: float, slope: float | None, steps: float | None) -> str:
    parts = [f"{leader!r} gained most and has {share:.0%} of samples now."]
    if steps == 0.0:
        parts.append("It has its 95% already.")
    elif slope is None:
        parts.append("Fewer than five looks: no slope yet.")
    elif steps is None:
        parts.append("Its log-odds are not rising: no date.")
    else:
        parts.append(
            f"At the slope of the last looks ({slope:+.3g} in log-odds a step) it has 95% in {steps:.0f} steps."
        )
    if by_base is not None:
        parts.append(
            f"Base share times base accuracy {'also' if by_base == leader else 'instead'} favours {by_base!r}."
        )
    parts.append("An extrapolation, without a guarantee.")
    return " ".join(parts)
