"""The numbers of a look: shares with bands that hold at all looks, accuracies, effective numbers, pass@k, reward space.

Intervals of accuracies and pass@k are for one look, by the spread between prompts (of a ratio: linearised); the prompt
is the unit, as the samples of one are not independent. Samples of a prompt count as exchangeable.

Shape letters: P prompts, N samples, K labels, D components.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from eval.collapse.counted import Counted
from eval.collapse.records import Effective, PassAtK, Range
from eval.collapse.tally import Tally
from eval.diversity import effective_numbers, vendi_score, within_collision
from eval.hypervolume import pool_hypervolume
from eval.metrics import pool_l1
from eval.prompt_curves import prompt_curves
from vpo.evidence import bands

Array = NDArray[np.float64]
_TAIL = 0.025  # on either side of an interval
_TASTES = 64
_VENDI_PROMPTS, _VENDI_SAMPLES = 16, 16
_MOST_RANGES = 24  # labels that get a band; the rest, rare ones, only their share


def share_ranges(tally: Tally, alpha: float) -> dict[str, Range]:
    """Label -> share, most frequent first; each band misses with probability ``alpha``."""
    ordered = sorted(tally.shares.items(), key=lambda item: (-item[1], item[0]))
    each = tally.counts / tally.counts.sum(axis=1, keepdims=True)
    banded = [tally.labels.index(label) for label, _ in ordered[:_MOST_RANGES]]
    ends = bands(each[:, banded].T, alpha).tolist()
    found = {
        label: Range(share, *_around(share, lo, hi)) for (label, share), (lo, hi) in zip(ordered, ends, strict=False)
    }
    return found | {label: Range(share) for label, share in ordered[_MOST_RANGES:]}


def accuracy_ranges(tally: Tally) -> dict[str, Range]:
    """Label -> accuracy of its samples, for labels with a graded sample."""
    found = {}
    for place, label in enumerate(tally.labels):
        if estimate := ratio(tally.correct[:, place], tally.graded[:, place]):
            found[label] = estimate
    return found


def ratio(above: NDArray[np.int64], below: NDArray[np.int64]) -> Range | None:
    """Ratio of two sums over prompts with a 95% interval, clipped to [0, 1]; None if the lower sum is 0.

    Where it is 0 or 1 in all of n prompts, the spread only looks like 0: the interval then reaches to what n prompts
    would all hide with probability .025, ``1 - .025 ** (1 / n)`` (Clopper and Pearson 1934, for numbers in [0, 1]). No
    interval from fewer than two prompts with something below, or where all agree on another ratio.
    """
    total = below.sum()
    if total == 0:
        return None
    mean = float(above.sum() / total)
    num = int((below > 0).sum())
    residual = above - mean * below
    spread = math.sqrt(float((residual**2).sum()) * num / max(num - 1, 1)) / float(total)
    if num < 2 or (spread == 0.0 and 0 < mean < 1):
        return Range(mean)
    if spread == 0.0:
        hidden = 1 - _TAIL ** (1 / num)
        return Range(mean, 0.0, hidden) if mean == 0 else Range(mean, 1 - hidden, 1.0)
    half = _quantile(num) * spread
    return Range(mean, max(0.0, mean - half), min(1.0, mean + half))


def mean_range(values: Array) -> Range | None:
    """Mean over prompts with a 95% interval; None for no values."""
    if not len(values):
        return None
    mean = float(values.mean())
    if len(values) < 2:
        return Range(mean)
    half = _quantile(len(values)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Range(mean, mean - half, mean + half)


def effective(tally: Tally, alpha: float) -> Effective:
    """Effective numbers of a facet; the interval of alpha misses with probability ``alpha``."""
    within, between, beta = (_finite(value) for value in effective_numbers(tally.counts))
    pairs = within_collision(tally.counts)
    pairs = pairs[~np.isnan(pairs)]
    if not pairs.size:
        return Effective(within, between, beta)
    low, high = bands(pairs[None], alpha)[0]
    return Effective(
        within, between, beta, _finite(1 / high) if high > 0 else None, _finite(1 / low) if low > 0 else None
    )


def pass_at_ks(look: Counted, base: Mapping[int, Mapping[str, float]]) -> dict[str, PassAtK]:
    """For each k, pass@k beside the base model's on the same prompts.

    Args:
        look: The look.
        base: k -> prompt id -> the base model's pass@k.
    """
    found = {}
    for k in look.ks:
        now = look.solved(k)
        estimate = mean_range(np.array(list(now.values())))
        if estimate is None:
            continue
        shared = [prompt for prompt in now if prompt in base.get(k, {})]
        if 2 * len(shared) >= len(now):  # of a few of them, the base's number would stand beside another panel's
            before = np.array([base[k][prompt] for prompt in shared])
            difference = mean_range(np.array([now[prompt] for prompt in shared]) - before)
            found[str(k)] = PassAtK(_clipped(estimate), float(before.mean()), difference)
        else:
            found[str(k)] = PassAtK(_clipped(estimate))
    return found


def reward_space(look: Counted, w_star: Sequence[float] | None) -> dict[str, Any]:
    """Fields of a look's record about reward vectors: means, best@k, E_w[best@k], pool L1, hypervolume.

    A component that does not apply to a prompt has no weight there, and the others have more (`eval.prompt_weights`);
    pool L1 and hypervolume count it as 0. ``w_star`` None weighs all components alike.
    """
    samples = look.samples
    names, vectors = samples.components, np.nan_to_num(samples.rewards)
    known = ~np.isnan(samples.rewards)
    means = {
        name: float(samples.rewards[known[:, place], place].mean())
        for place, name in enumerate(names)
        if known[:, place].any()
    }
    found: dict[str, Any] = {"reward": means}
    if not names:
        return found
    weights = np.full(len(names), 1 / len(names)) if w_star is None else np.asarray(w_star, dtype=np.float64)
    size = int(np.median(look.groups.sizes))
    members = [each[:size] for each in look.groups.members if len(each) >= size]
    places = np.stack(members)  # (P, n): as many of every prompt, so that k means the same
    pools = vectors[places]
    given: NDArray[np.bool_] = np.any(known[places], axis=1)
    has = given | ~given.any(axis=1, keepdims=True)  # nothing is known: no component is known not to apply
    ks = [2**power for power in range(size.bit_length()) if 2**power <= size]
    exists = np.ones((*places.shape, 1), dtype=bool)
    curves = prompt_curves(pools[:, :, None], exists, has, weights, ks, _TASTES)
    best = curves.best.mean(axis=0)
    found["best_at_k"] = {str(k): float(value) for k, value in zip(ks, best, strict=True)}
    if len(names) > 1:
        expected = curves.expected.mean(axis=0)
        found["expected_best_at_k"] = {str(k): float(value) for k, value in zip(ks, expected, strict=True)}
    if size >= 2:
        found["pool_l1"] = float(pool_l1(pools).mean())
    if (vectors >= 0).all():
        found["hypervolume"] = float(pool_hypervolume(pools).mean())
    return found


def text_measures(look: Counted, with_vendi: bool) -> dict[str, Any]:
    """Fields about texts: distinct ones, Vendi score (of 16 prompts at most, 16 samples each), length, truncation."""
    samples = look.samples
    members = look.groups.members
    found: dict[str, Any] = {
        "distinct": float(np.mean([len({samples.texts[i] for i in each}) for each in members])),
        "samples_a_prompt": len(samples) / len(members),
    }
    if with_vendi:
        size = min(int(np.median(look.groups.sizes)), _VENDI_SAMPLES)
        chosen = [each[:size] for each in members if len(each) >= size][:_VENDI_PROMPTS]
        found["vendi"] = float(np.mean([vendi_score([samples.texts[i] for i in each]) for each in chosen]))
    first = np.unique(look.groups.completions, return_index=True)[1]  # a sample of each completion
    if samples.finish_reasons is not None:
        reasons = np.asarray(samples.finish_reasons)[first]
        if (reasons != "").any():
            found["truncated"] = float((reasons[reasons != ""] == "length").mean())
    for name, column in (("tokens", samples.tokens), ("entropy", samples.entropies)):
        if column is not None:
            values = np.asarray(column, dtype=np.float64)[first]
            if not np.isnan(values).all():
                found[name] = float(np.nanmean(values))
    if samples.depths is not None and "format" in look.labels:
        labels = np.asarray(look.labels["format"])
        known = ~np.isnan(samples.depths)
        found["depth"] = {
            str(label): float(samples.depths[known & (labels == label)].mean()) for label in np.unique(labels[known])
        }
    return found


def _quantile(num: int) -> float:
    """Student's, of the mean of ``num`` prompts: 2.36 of eight, where 1.96 would promise too much."""
    return float(stdtrit(num - 1, 1 - _TAIL))


def _around(estimate: float, low: float, high: float) -> tuple[float, float]:
    """Ends of a band that was rounded to a grid, moved to hold the estimate."""
    return min(low, estimate), max(high, estimate)


def _clipped(estimate: Range) -> Range:
    if estimate.lo is None or estimate.hi is None:
        return estimate
    return Range(estimate.est, max(0.0, estimate.lo), min(1.0, estimate.hi))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
