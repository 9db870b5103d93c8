"""What is watched: quantities with bounds that are set once, from the reference, before any evidence is gathered.

For every facet: the share of each label that the base model uses, the share of all others, and the chance that two
samples of a prompt have one label. Beside them: broken samples, and prompts that k samples no longer solve. A bound is
where a change begins to matter, not where it begins; it is a number that an alarm names, and the guarantee is about it.

Means are over *units*: prompts, or on a panel completions. The base and every look are measured in the same units, or
the mean that is tested would not be the one that is bounded.

Shape letters: N samples, P prompts, C completions, U units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.collapse.counted import Counted
from eval.collapse.records import Quantity
from eval.diversity import effective_numbers, within_collision
from vpo.evidence import band

Array = NDArray[np.float64]
_MOST = 0.995  # a bound above could not be refuted by any number of samples that one has
BASE_ALPHA = 0.01
"""Probability that the base model's own pass@k lies below what its samples are taken to show."""


@dataclass(frozen=True)
class Thresholds:
    """Where changes begin to matter.

    Attributes:
        dominance: A label may have this share, or its base share + ``rise`` if that is more, ...
        rise: ... and labels that the base model hardly uses may have this much more together; at most half of what was
            left to the others is ever allowed.
        narrowing: Share that must be left of a prompt's effective number of labels above one.
        broken: Further share of samples that may be empty, cut off or endless.
        coverage: How much less pass@k may be than the base model's.
        least_share: Labels with a smaller share at the base are watched together.
        silence: With fewer effective labels than this there is nothing to collapse.
    """

    dominance: float = 0.8
    rise: float = 0.2
    narrowing: float = 0.6
    broken: float = 0.1
    coverage: float = 0.02
    least_share: float = 0.02
    silence: float = 1.1

    def __post_init__(self) -> None:
        for name in ("dominance", "rise", "narrowing", "broken", "coverage", "least_share"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} is {value}: expected a number in (0, 1). Leave it out for its default.")
        if self.silence < 1:
            raise ValueError(f"silence is {self.silence}: expected an effective number, 1 or more.")


def choose_quantities(
    reference: Counted,
    thresholds: Thresholds,
    shares_prompts: bool,
    first: Counted | None = None,
    is_panel: bool = False,
) -> list[Quantity]:
    """All that is watched of a run.

    Args:
        reference: The base model's samples, or the first look.
        thresholds: Where changes matter.
        shares_prompts: Whether looks will be of the reference's prompts, so that pass@k can be paired.
        first: The first look, where it is not the reference: of it only prompts and sizes of groups are read.
        is_panel: Whether all looks are of the first one's prompts, and completions are units.
    """
    found: list[Quantity] = []
    by_unit = _by_panel_unit if is_panel else _by_prompt
    for facet, tally in reference.tallies.items():
        labels = np.asarray(reference.labels[facet])
        shares = {label: float(by_unit(reference, (labels == label).astype(float)).mean()) for label in tally.labels}
        _, gamma, _ = effective_numbers(tally.counts)
        watched = [label for label, share in shares.items() if share >= thresholds.least_share]
        if gamma >= thresholds.silence:  # not so of a single prompt, whose gamma is NaN
            for label in watched:
                bound = _share_bound(shares[label], thresholds)
                if bound is not None:
                    meaning = f"share of samples with {facet} {label!r}"
                    found.append(Quantity(f"{facet}: {label}", facet, bound, shares[label], meaning, label=label))
        rest = max(0.0, 1 - sum(shares[label] for label in watched))
        meaning = f"share of samples with another {facet} than those that the reference commonly has"
        bound = min(rest + thresholds.rise, (1 + rest) / 2)
        if bound < _MOST:
            found.append(Quantity(f"{facet}: others", facet, bound, rest, meaning, "others", known=watched))
        pairs = within_collision(tally.counts)
        pairs = pairs[~np.isnan(pairs)]
        agree = float(pairs.mean()) if pairs.size else 1.0
        alpha = 1 / (agree or band(pairs, 2 * BASE_ALPHA)[1])  # where no two agree, what so many prompts would hide
        if alpha >= thresholds.silence:
            bound = 1 / (1 + thresholds.narrowing * (alpha - 1))
            meaning = f"chance that two samples of a prompt have one {facet} (1 / effective number)"
            found.append(Quantity(f"{facet}: agreement", facet, bound, agree, meaning, "collision"))
    base = float(by_unit(reference, reference.is_broken().astype(float)).mean())
    bound = min(base + thresholds.broken, (1 + base) / 2)
    meaning = "share of samples that are empty, cut off or run out in repetition"
    if bound < _MOST:
        found.append(Quantity("broken", "", bound, base, meaning, "broken"))
    return [*found, *_coverage(reference, thresholds, shares_prompts, first, is_panel)]


def _share_bound(base: float, thresholds: Thresholds) -> float | None:
    """Half of what is left to the others must stay theirs; None where nothing is left."""
    bound = min(max(thresholds.dominance, base + thresholds.rise), (1 + base) / 2)
    return bound if bound < _MOST else None


def _coverage(
    reference: Counted, thresholds: Thresholds, shares_prompts: bool, first: Counted | None, is_panel: bool
) -> list[Quantity]:
    """pass@k at the largest k that half of a prompt's samples allow: beyond, its estimate is too noisy.

    Half of the fewer ones, of the base's and the looks': of eight samples nobody can tell pass@32. A panel may hold a
    few of the base's prompts only, and how well these are known is what the allowance is about.
    """
    sizes = [float(np.median(each.graded[0])) for each in (reference, first) if each is not None]
    ks = [k for k in reference.ks if k == 1 or 2 * k <= min(sizes)]
    if not ks:
        return []
    k = ks[-1]
    known = reference.solved(k)
    asked = set(known) if first is None or not (is_panel and shares_prompts) else set(first.groups.ids)
    solved = np.array([value for prompt, value in known.items() if prompt in asked])
    mean = float(solved.mean())
    allowance = mean - band(solved, 2 * BASE_ALPHA)[0]  # one end of the band is used
    drop = thresholds.coverage + allowance
    name = f"coverage (pass@{k})"
    if shares_prompts:  # (1 + base - now) / 2 of each prompt, which lies in [0, 1]
        meaning = f"prompt by prompt, (1 + base's pass@{k} - pass@{k}) / 2"
        bound = (1 + drop) / 2
        return [Quantity(name, "", bound, 0.5, meaning, "paired coverage", k=k)] if bound < _MOST else []
    meaning = f"chance that {k} samples do not solve a prompt"
    bound = 1 - mean + drop
    return [Quantity(name, "", bound, 1 - mean, meaning, "coverage", k=k)] if bound < _MOST else []


def quantity_values(
    quantities: Sequence[Quantity], look: Counted, base: Mapping[int, Mapping[str, float]], of_samples: bool
) -> dict[str, Array]:
    """What each quantity is at a look: name -> (U,) numbers in [0, 1]; those that cannot be measured are missing.

    Args:
        quantities: As :func:`choose_quantities` gave them.
        look: The look.
        base: k -> prompt id -> the base model's pass@k, for paired coverage; {} where it is not paired.
        of_samples: Whether completions are units of their own, which is valid on a fixed panel alone.
    """
    found: dict[str, Array] = {}
    labels = {facet: np.asarray(each) for facet, each in look.labels.items()}
    by_unit = _by_panel_unit if of_samples else _by_prompt
    for each in quantities:
        if each.kind == "share":
            found[each.name] = by_unit(look, (labels[each.facet] == each.label).astype(float))
        elif each.kind == "others":
            found[each.name] = by_unit(look, (~np.isin(labels[each.facet], each.known)).astype(float))
        elif each.kind == "collision":
            pairs = within_collision(look.tallies[each.facet].counts)
            found[each.name] = pairs[~np.isnan(pairs)]
        elif each.kind == "broken":
            found[each.name] = by_unit(look, look.is_broken().astype(float))
        else:
            now = look.solved(each.k)
            if each.kind == "paired coverage":
                shared = [prompt for prompt in now if prompt in base.get(each.k, {})]
                found[each.name] = np.array([(1 + base[each.k][prompt] - now[prompt]) / 2 for prompt in shared])
            else:
                found[each.name] = 1 - np.array(list(now.values()))
    return {name: values for name, values in found.items() if values.size}


def _by_prompt(look: Counted, values: Array) -> Array:
    """(P,) means of a prompt's samples."""
    return np.asarray(np.bincount(look.groups.index, values, len(look.groups.ids)) / look.groups.sizes)


def _by_panel_unit(look: Counted, values: Array) -> Array:
    """(U,) means of the completions that make a unit of a panel, see :attr:`Counted.panel_units`."""
    of, units = look.groups.completions, look.panel_units
    completions = np.bincount(of, values) / np.bincount(of)
    return np.asarray(np.bincount(units, completions) / np.bincount(units))
