"""The labels of a facet that are drawn, and the one fill that each has in every chart and every run of the page.

At most twelve fills can be told apart, patterns included: of more labels, those that were once the largest are kept and
the others are drawn as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from eval.collapse.records import LookRecord
from eval.collapse.run_report import RunReport
from eval.report.data import Number
from eval.report.styles import AreaStyle, area_styles

MOST_LABELS = 12


@dataclass(frozen=True)
class Palette:
    """Fills of a facet's labels, largest first; ``pooled`` is the name under which the others are drawn, "" without."""

    facet: str
    styles: dict[str, AreaStyle]
    pooled: str = ""

    def shares_of(self, look: LookRecord) -> Mapping[str, Number]:
        """Shares of the labels that are drawn at a look."""
        shares = {label: 0.0 for label in self.styles}
        for label, share in look.shares.get(self.facet, {}).items():
            name = label if label != self.pooled and label in shares else self.pooled
            if name in shares:  # a palette cut short has no place for the others
                shares[name] += share.est
        return shares


def facets_of(runs: Iterable[RunReport]) -> list[str]:
    """Facets in the order of the looks, ``format`` first."""
    found = dict.fromkeys(facet for run in runs for look in seen(run) for facet in look.shares)
    return sorted(found, key=lambda facet: facet != "format")


def seen(run: RunReport) -> list[LookRecord]:
    """The base model's look, if there is one, and the run's."""
    return [*([run.base] if run.base else []), *run.looks]


def palette(runs: Sequence[RunReport], facet: str) -> Palette:
    """Choose the labels of a facet that are drawn, over all runs, and their fills."""
    totals: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for run in runs:
        looks = [look for look in seen(run) if facet in look.shares]
        for look in looks:
            for label, share in look.shares[facet].items():
                totals[label] = totals.get(label, 0.0) + share.est / len(looks)
                peaks[label] = max(peaks.get(label, 0.0), share.est)
    # By the largest share it ever had: a format that was given up must not vanish among the rare ones.
    by_peak = sorted(peaks, key=lambda label: -peaks[label])
    kept = by_peak if len(by_peak) <= MOST_LABELS else by_peak[: MOST_LABELS - 1]
    names = sorted(kept, key=lambda label: -totals[label])
    pooled = ""
    if len(kept) < len(by_peak):
        pooled = f"{len(by_peak) - len(kept)} rarer labels"
        while pooled in by_peak:
            pooled += ", pooled"
        names.append(pooled)
    return Palette(facet, area_styles(names), pooled)
