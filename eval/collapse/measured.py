"""A look's record, but for its evidence: all that was measured, with the settings that it was measured under."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eval.collapse.counted import Counted
from eval.collapse.measures import accuracy_ranges, effective, pass_at_ks, reward_space, share_ranges, text_measures
from eval.collapse.records import LookRecord
from eval.sources.sampling import PROMPT_TEMPLATE


def measured(
    look: Counted,
    number: int,
    settings: Mapping[str, Any],
    alpha: float,
    solved: Mapping[int, Mapping[str, float]],
    w_star: Sequence[float] | None,
    with_vendi: bool,
) -> LookRecord:
    """Measure a look.

    Args:
        look: Its samples, counted.
        number: Of the look; 0 for the base model.
        settings: Of the trainer at its step.
        alpha: Probability that a band misses.
        solved: k -> prompt id -> the base model's pass@k; {} for itself.
        w_star: (D,) weights of deployment; None weighs all components alike.
        with_vendi: Whether Vendi scores are computed.
    """
    samples = look.samples
    texts = text_measures(look, with_vendi)
    if math.isfinite(settings.get("entropy", math.nan)):  # of the step, from a trainer that has it for no sample
        texts.setdefault("entropy", float(settings["entropy"]))
    return LookRecord(
        number=number,
        step=samples.step,
        epoch=samples.epoch,
        num_prompts=len(look.groups.ids),
        num_samples=len(samples),
        shares={name: share_ranges(tally, alpha) for name, tally in look.tallies.items()},
        accuracy={name: found for name, tally in look.tallies.items() if (found := accuracy_ranges(tally))},
        effective={name: effective(tally, alpha) for name, tally in look.tallies.items()},
        pass_at_k=pass_at_ks(look, solved),
        settings={name: value for name, value in {**samples.sampling, **settings}.items() if _is_setting(name, value)},
        **reward_space(look, w_star),
        **texts,
    )


def _is_setting(name: str, value: Any) -> bool:
    """Whether something can stand in every record: finite numbers and names can, what was read off prompts cannot."""
    if name == PROMPT_TEMPLATE:
        return False
    return math.isfinite(value) if isinstance(value, (int, float)) else isinstance(value, str) and len(value) <= 80
