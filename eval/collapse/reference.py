"""What changes are measured against: the base model's samples or the first look, with all that is fixed by them.

Facets are fitted, correctness is chosen and bounds are set here, before any evidence is gathered. The first look is
then no evidence, for it set the bounds. With base samples it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eval.collapse.correctness import Correctness, choose
from eval.collapse.counted import Counted, count
from eval.collapse.quantities import Thresholds, choose_quantities
from eval.collapse.records import Quantity
from eval.samples import Facet, Samples
from eval.sources.sampling import sampling_change

_SHARED = 0.5  # of a look's prompts: from here on it is of the same prompts as the base


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference and what it fixed.

    Attributes:
        counted: Its samples, counted.
        is_first_look: Whether it is the first look, for want of base samples.
        correctness: What counts as correct; None if nothing does.
        quantities: What is watched.
        solved: k -> prompt id -> pass@k.
        warnings: What the choices ask the reader to know.
    """

    counted: Counted
    is_first_look: bool
    correctness: Correctness | None
    quantities: list[Quantity]
    solved: Mapping[int, Mapping[str, float]]
    warnings: list[str] = field(default_factory=list)

    def comparable(self, samples: Samples) -> Samples:
        """The samples without what the reference does not know of its own: why they ended.

        Samples that were cut off have no format, but only where a log says so: if one of two does, the same texts would
        count as a change.
        """
        return samples if knows_ends(self.counted.samples) else replace(samples, finish_reasons=None)

    @property
    def words(self) -> str:
        """``base model`` or ``first look``."""
        return "first look" if self.is_first_look else "base model"


def set_reference(
    base: Samples | None,
    first: Samples,
    facets: Sequence[Facet],
    correct: str | None,
    thresholds: Thresholds,
    is_panel: bool,
) -> Reference:
    """Fix everything that must be fixed before evidence is gathered.

    Args:
        base: The base model's samples; None takes the first look.
        first: The first look; if there are base samples it sets no bounds, and only tells what can be compared: its
            prompts, components, sizes of groups, and whether it knows why samples ended.
        facets: Fitted here.
        correct: As :func:`eval.collapse.correctness.choose` takes it.
        thresholds: Where changes matter.
        is_panel: Whether all looks are of the same prompts.

    Raises:
        ValueError: Base and first look have different components, or ``correct`` names none of them.
    """
    warnings = []
    if base is not None and base.components and first.components and set(base.components) != set(first.components):
        raise ValueError(
            f"the base model's samples have components {list(base.components)}, the run has {list(first.components)}: "
            "expected the same. Score the base model's samples with the run's reward functions."
        )
    samples = first if base is None else base
    if base is not None:
        samples, words = _compared(base, first)
        warnings += words
    for facet in facets:
        facet.fit(samples)
    correctness, word = choose(correct, samples if _knows_rewards(samples) else first)
    if word:
        warnings.append(word)
    counted = count(samples, facets, correctness)
    shared = set(counted.groups.ids).intersection(first.prompt_ids)
    shares_prompts = len(shared) >= _SHARED * len(set(first.prompt_ids)) and (is_panel or base is not None)
    if base is not None and not shares_prompts:
        warnings.append(
            "The base model's samples are of other prompts than the run's: shares are compared across prompts, and "
            "pass@k is not paired. Sample the base model on the run's prompts for the sharpest comparison."
        )
    if base is not None and (change := sampling_change(base, first)):
        warnings.append(f"{change} (The base model's samples against the first look.)")
    if base is None:
        warnings.append(
            f"There are no base model's samples, so the first look (step {first.step}) is the reference: what changed "
            "before it is not seen. Its samples were drawn before any update if it is the run's first batch."
        )
    warnings += _too_little(counted, first)
    looked = None if base is None else count(first, (), correctness)
    quantities = choose_quantities(counted, thresholds, shares_prompts, looked, is_panel)
    solved = {k: counted.solved(k) for k in counted.ks}
    return Reference(counted, base is None, correctness, quantities, solved, warnings)


def _too_little(reference: Counted, first: Samples) -> list[str]:
    """What cannot be told however many looks there are."""
    warnings = []
    if len(reference.groups.ids) == 1:
        warnings.append(
            "The reference is of one prompt, and which labels others have is not known: shares of labels are not "
            "watched. Make looks of more steps (`every`), or give samples of the base model on many prompts."
        )
    elif not (reference.groups.sizes >= 2).any():
        warnings.append(
            "The reference has one sample of each prompt: how far a prompt's samples agree is not watched. Sample two "
            "or more."
        )
    if first.sampling.get("temperature") == 0:
        warnings.append(
            "Samples are decoded at temperature 0: there is no chance in them but the draw of prompts. On a panel "
            "every difference is real, and evidence of it means nothing."
        )
    return warnings


def knows_ends(samples: Samples) -> bool:
    """Whether the log says of any sample why it ended."""
    return samples.finish_reasons is not None and any(samples.finish_reasons)


def _knows_rewards(samples: Samples) -> bool:
    return not samples.components or not np.isnan(samples.rewards).all()


def _compared(base: Samples, first: Samples) -> tuple[Samples, list[str]]:
    """The base model's samples with what both logs know, and sentences on what only one does."""
    warnings = []
    if first.components and not base.components:  # not known, which is not the same as wrong
        unknown = np.full((len(base), len(first.components)), np.nan)
        base = replace(base, components=first.components, rewards=unknown)
        warnings.append(
            "The base model's samples have no rewards, so accuracy and pass@k have nothing to be compared with. Score "
            "them with the run's reward functions."
        )
    elif first.components and base.components != first.components:  # the same in another order
        columns = [base.components.index(name) for name in first.components]
        base = replace(base, components=first.components, rewards=base.rewards[:, columns])
    if knows_ends(base) != knows_ends(first):
        one, other = ("base model's samples", "run's") if knows_ends(base) else ("run's samples", "base model's")
        base = replace(base, finish_reasons=None)
        warnings.append(
            f"Only the {one} say why they ended, the {other} do not: samples that were cut off are judged by their "
            "text alone. Write finish_reason into both logs."
        )
    return base, warnings
