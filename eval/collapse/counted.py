"""A look with its labels counted: what measures, evidence and verdicts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.collapse.correctness import Correctness
from eval.collapse.tally import Groups, Tally
from eval.metrics import pass_at_k
from eval.samples import Facet, Samples

Array = NDArray[np.float64]
BROKEN = ("empty", "degenerate", "truncated")


@dataclass(frozen=True, eq=False)
class Counted:
    """Samples, grouped and labelled.

    Attributes:
        samples: Of the look.
        groups: By prompt.
        correct: (N,) 1, 0 or NaN; None if nothing counts as correct.
        labels: Facet -> N labels.
        tallies: Facet -> its counts.
    """

    samples: Samples
    groups: Groups
    correct: Array | None
    labels: Mapping[str, Sequence[str]]
    tallies: Mapping[str, Tally]

    @cached_property
    def graded(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P,) samples whose correctness is known, and correct ones among them."""
        num = len(self.groups.ids)
        if self.correct is None:
            return np.zeros(num, dtype=np.int64), np.zeros(num, dtype=np.int64)
        known = ~np.isnan(self.correct)
        right = np.bincount(self.groups.index[self.correct == 1], minlength=num)
        return np.bincount(self.groups.index[known], minlength=num), right

    @cached_property
    def panel_units(self) -> NDArray[np.int64]:
        """(C,) the unit of evidence that each completion belongs to, where all looks are of one panel of prompts.

        A completion is a unit of its own if all prompts have as many. Else a prompt's are dealt out to as many units as
        the least of them has completions: every prompt must weigh the same, or a prompt that was sampled more often
        would move the mean without any change of the policy.
        """
        _, one_of_each = np.unique(self.groups.completions, return_index=True)
        prompts = self.groups.index[one_of_each]
        sizes = np.bincount(prompts)
        order = np.argsort(prompts, kind="stable")
        place = np.empty(len(prompts), dtype=np.int64)  # of a completion among those of its prompt
        place[order] = np.arange(len(prompts)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        least = int(sizes.min())
        return np.asarray(prompts * least + place % least)

    def solved(self, k: int) -> dict[str, float]:
        """Prompt id -> unbiased pass@k, for prompts with k graded samples."""
        totals, right = self.graded
        enough = np.flatnonzero(totals >= k)
        if not enough.size:
            return {}
        values = pass_at_k(totals[enough], right[enough], k)
        return {self.groups.ids[place]: float(value) for place, value in zip(enough, values, strict=True)}

    @property
    def ks(self) -> list[int]:
        """1, 2, 4, ... for which half of the prompts at least have so many graded samples."""
        totals = self.graded[0]
        most = int(np.median(totals)) if totals.size else 0
        return [2**power for power in range(most.bit_length()) if 2**power <= most]

    def is_broken(self) -> NDArray[np.bool_]:
        """(N,) samples that are empty, cut off by the limit, or end in endless repetition, by the rules' labels."""
        found = np.isin(np.asarray(self.labels.get("format", [""] * len(self.samples))), BROKEN)
        if self.samples.finish_reasons is not None:
            found |= np.asarray(self.samples.finish_reasons) == "length"
        return np.asarray(found)


def count(
    samples: Samples,
    facets: Sequence[Facet],
    correctness: Correctness | None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Counted:
    """Label and count the samples of a look; ``labels`` are those of the facets, where they were computed before.

    Raises:
        ValueError: There are no samples, or a facet gave another number of labels.
    """
    if not len(samples):
        raise ValueError(f"step {samples.step} has no samples: expected one at least.")
    groups = Groups.of(samples)
    correct = None if correctness is None else correctness.of(samples)
    labels = labels if labels is not None else {facet.name: facet.labels(samples) for facet in facets}
    for name, found in labels.items():
        if len(found) != len(samples):
            raise ValueError(f"facet {name!r} gave {len(found)} labels for {len(samples)} samples: expected one each.")
    return Counted(samples, groups, correct, labels, {n: Tally.of(each, groups, correct) for n, each in labels.items()})
