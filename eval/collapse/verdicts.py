"""What a change means: not every collapse is bad, and which it is shows in accuracies and pass@k, not in shares.

Base = the reference; now = the last few looks together. The order of the questions is the order of what matters: are
the samples still any good as texts; did a worse format win; are fewer prompts solved by k samples; was only sharpened
what was there; or did the better format win at no cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.collapse.counted import Counted
from eval.collapse.measures import mean_range, ratio
from eval.collapse.quantities import Thresholds, quantity_values
from eval.collapse.records import Quantity, Range, Verdict
from eval.collapse.tally import Tally
from eval.diversity import effective_numbers

_LEAST_SAMPLES, _LEAST_PROMPTS = 32, 8
_ENOUGH_PROMPTS = 64
_RIVAL_SHARE = 0.05
_STRONG = math.log(20)  # evidence of one quantity by itself


@dataclass(frozen=True)
class Standing:
    """Base and now, side by side.

    Attributes:
        base: The reference.
        now: The last looks, oldest first, one at least: accuracies and pass@k need many samples.
        is_panel: Whether completions are units, in which bounds were set then.
    """

    base: Counted
    now: Sequence[Counted]
    is_panel: bool = False

    @property
    def latest(self) -> list[Counted]:
        """As few of the last looks as have 64 prompts: shares move fast, and show in few samples."""
        chosen: list[Counted] = []
        for look in reversed(self.now):
            if sum(len(each.groups.ids) for each in chosen) >= _ENOUGH_PROMPTS:
                break
            chosen.append(look)
        return chosen

    def shares(self, facet: str) -> tuple[dict[str, float], dict[str, float]]:
        """Label -> share, at the base and at the latest looks; every label in both."""
        before = self.base.tallies[facet].shares
        found: dict[str, float] = {}
        latest = self.latest
        for look in latest:
            for label, share in look.tallies[facet].shares.items():
                found[label] = found.get(label, 0.0) + share / len(latest)
        every = dict.fromkeys([*before, *found])
        return {label: before.get(label, 0.0) for label in every}, {label: found.get(label, 0.0) for label in every}

    def accuracy(self, facet: str, label: str) -> tuple[Range | None, Range | None]:
        """Accuracy of a label, at the base and now."""
        return _accuracy([self.base.tallies[facet]], label), _accuracy(
            [look.tallies[facet] for look in self.now], label
        )

    def difference(self, k: int) -> Range | None:
        """Now - base in pass@k; None where one is not known.

        Paired over the prompts that both have, if these are half of one's; else of the two means.
        """
        before = self.base.solved(k)
        parts: dict[str, list[float]] = {}
        for look in self.now:
            for prompt, value in look.solved(k).items():
                parts.setdefault(prompt, []).append(value)
        now = {prompt: float(np.mean(values)) for prompt, values in parts.items()}
        shared = [prompt for prompt in now if prompt in before]
        if len(shared) >= max(_LEAST_PROMPTS, min(len(before), len(now)) / 2):
            return mean_range(np.array([now[prompt] - before[prompt] for prompt in shared]))
        first, second = (mean_range(np.array(list(each.values()))) for each in (before, now))
        if first is None or second is None or first.lo is None or second.lo is None:
            return None
        half = math.hypot(first.est - first.lo, second.est - second.lo)
        gap = second.est - first.est
        return Range(gap, gap - half, gap + half)

    @property
    def largest_k(self) -> int:
        """Of the k that both have."""
        shared = set(self.base.ks).intersection(*(look.ks for look in self.now))
        return max(shared, default=0)


def winner_of(standing: Standing, facet: str = "format") -> str:
    """The label that gained the most share."""
    before, now = standing.shares(facet)
    return max(now, key=lambda label: (now[label] - before[label], now[label], label))


def judge(
    standing: Standing,
    named: Sequence[Quantity],
    evidence: Mapping[str, float],
    thresholds: Thresholds,
    facet: str = "format",
) -> tuple[Verdict, str]:
    """Verdict and the numbers behind it, in a sentence.

    Args:
        standing: Base and now.
        named: Quantities that alarms of the run have named so far.
        evidence: Quantity -> logarithm of its evidence.
        thresholds: Where changes matter.
        facet: Whose labels win and lose.
    """
    num = sum(len(look.samples) for look in standing.now)
    prompts = sum(len(look.groups.ids) for look in standing.now)
    if num < _LEAST_SAMPLES or prompts < _LEAST_PROMPTS:
        return "insufficient data", f"{num} samples of {prompts} prompts are too few to say anything."
    if not named:
        return _quiet(standing, thresholds, facet)
    before, now = standing.shares(facet)
    winner = winner_of(standing, facet)
    moved = f"{winner!r} went from {before[winner]:.0%} to {now[winner]:.0%} of samples"
    named = _still_above(standing, named)
    if not named:
        return "no change", f"What alarms named is back within its bounds: {moved}."
    if all(each.facet not in ("", facet) for each in named):  # the verdict is about formats, whatever moved beside them
        moved = f"no {facet} is named, but {', '.join(sorted({each.facet for each in named}))}; {moved}"
    was_broken = float(standing.base.is_broken().mean())
    is_broken = float(np.mean([look.is_broken().mean() for look in standing.latest]))
    if any(each.kind == "broken" for each in named):
        return "degenerate", f"Empty, cut off or endless samples went from {was_broken:.0%} to {is_broken:.0%}."
    if standing.base.correct is None:
        return "insufficient data", f"{moved}; without a measure of correctness nothing says whether that is good."
    k = standing.largest_k
    if not k:
        return "insufficient data", f"{moved}; it is not known which samples of the base or of now are correct."
    first, largest = standing.difference(1), standing.difference(k)
    change = f"{moved}; pass@1 {_signed(first)}, pass@{k} {_signed(largest)} against the base"
    if rival := _better_rival(standing, facet, winner):
        return "wrong winner", f"{change}; {rival}."
    lost = any(each.kind.endswith("coverage") and evidence.get(each.name, 0.0) >= _STRONG for each in named)
    if lost or (largest is not None and largest.hi is not None and largest.hi < 0):
        return "costly collapse", f"{change}: fewer prompts are solved by {k} samples than before."
    if first is None or largest is None:
        return "insufficient data", f"{change}: too few samples to compare pass@k."
    if first.lo is not None and first.lo > 0 and largest.lo is not None and largest.lo <= 0:
        return "sharpening", f"{change}: single samples got better, the best of {k} did not."
    if not _was_ever_right(standing):
        return "insufficient data", f"{change}: nothing was right, before or after, so no cost could show."
    if largest.lo is None or largest.est < -thresholds.coverage:
        return "insufficient data", f"{change}: too few prompts to tell whether that is a loss."
    return (
        "benign selection",
        f"{change}: no loss shows, and no format that was given up was clearly better.",
    )


def is_critical(standing: Standing, verdict: Verdict, named: Sequence[Quantity], facet: str = "format") -> bool:
    """Whether an alarm cannot wait.

    It cannot for degenerate samples, for coverage that is lost, and where a worse format won; and where one format has
    over 95% although another one was used and at least half as often right, if both the rules and the clusters say so.
    """
    if verdict in ("degenerate", "costly collapse", "wrong winner"):
        return True
    facets = {each.facet for each in named}
    if "cluster" in standing.base.tallies and not {facet, "cluster"} <= facets:
        return False
    before, now = standing.shares(facet)
    winner = winner_of(standing, facet)
    if now[winner] <= 0.95:
        return False
    best, _ = standing.accuracy(facet, winner)
    for label, share in before.items():
        rival, _ = standing.accuracy(facet, label)
        if label != winner and share >= _RIVAL_SHARE and (best is None or rival is None or rival.est >= best.est / 2):
            return True
    return False


def _still_above(standing: Standing, named: Sequence[Quantity]) -> list[Quantity]:
    """Quantities that are above their bounds at the latest looks, too; those that cannot be measured there stay."""
    solved = {each.k: standing.base.solved(each.k) for each in named if each.k}
    found: dict[str, list[float]] = {}
    for look in standing.latest:
        for name, values in quantity_values(named, look, solved, standing.is_panel).items():
            found.setdefault(name, []).append(float(values.mean()))
    return [each for each in named if each.name not in found or float(np.mean(found[each.name])) > each.bound]


def _quiet(standing: Standing, thresholds: Thresholds, facet: str) -> tuple[Verdict, str]:
    _, gamma, _ = effective_numbers(standing.base.tallies[facet].counts)
    before, now = standing.shares(facet)
    leader = max(before, key=lambda label: before[label])
    if gamma < thresholds.silence:
        return "nothing to collapse", (
            f"The base model already writes {leader!r} {before[leader]:.0%} of the time: {gamma:.2f} effective labels."
        )
    winner = winner_of(standing, facet)
    return "no change", (
        f"No watched quantity is above its bound by the evidence so far; the largest move is {winner!r}, from "
        f"{before[winner]:.0%} to {now[winner]:.0%}."
    )


def _better_rival(standing: Standing, facet: str, winner: str) -> str:
    """A format that lost share although it was more often right at the base, beyond both intervals' overlap."""
    before, now = standing.shares(facet)
    mine, _ = standing.accuracy(facet, winner)
    if mine is None or mine.hi is None:
        return ""
    for label in sorted(before, key=lambda each: -before[each]):
        theirs, _ = standing.accuracy(facet, label)
        if label == winner or before[label] < _RIVAL_SHARE or now[label] > before[label] / 2:
            continue
        if theirs is not None and theirs.lo is not None and theirs.lo > mine.hi:
            return (
                f"{label!r}, which fell from {before[label]:.0%} to {now[label]:.0%}, was right {theirs.est:.0%} of "
                f"the time at the base, {winner!r} {mine.est:.0%}"
            )
    return ""


def _was_ever_right(standing: Standing) -> bool:
    return any(bool(each.graded[1].any()) for each in (standing.base, *standing.now))


def _accuracy(tallies: Sequence[Tally], label: str) -> Range | None:
    found = [each for each in tallies if label in each.labels]
    if not found:
        return None
    right = np.concatenate([each.correct[:, each.labels.index(label)] for each in found])
    graded = np.concatenate([each.graded[:, each.labels.index(label)] for each in found])
    return ratio(right, graded)


def _signed(change: Range | None) -> str:
    if change is None:
        return "unknown"
    if change.lo is None or change.hi is None:
        return f"{change.est:+.3f}"
    return f"{change.est:+.3f} [{change.lo:+.3f}, {change.hi:+.3f}]"
