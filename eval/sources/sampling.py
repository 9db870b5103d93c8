"""How samples were drawn, as far as a log says: one value a step for each setting, and a sentence for each change.

A policy that is sampled colder shows fewer formats without having changed. So settings travel with the samples, a step
that holds two values is refused, and two steps that differ are told apart by :func:`sampling_change` in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eval.samples import Samples
from eval.sources.errors import SourceError
from eval.sources.rewards import Place
from eval.sources.templates import template_difference

SAMPLING_COLUMNS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "max_tokens",
    "max_completion_length",
    "template",
    "system_prompt",
)
"""Columns that say how samples were drawn, whatever the log."""

PROMPT_TEMPLATE = "prompt_template"
"""Entry of ``Samples.sampling`` for what prompts share, see :mod:`eval.sources.templates`; no column of a log."""


def sampling_of(columns: Mapping[str, Sequence[Any]], place: Place) -> dict[str, Any]:
    """Settings of one step: the value of each of :data:`SAMPLING_COLUMNS` that is there and not null.

    Raises:
        SourceError: A step holds two values of a setting.
    """
    found = {}
    for name in SAMPLING_COLUMNS:
        column = [None if _is_nan(value) else value for value in columns.get(name, ())]
        if not column:
            continue
        first = column[0]
        if column.count(first) != len(column):
            i = next(i for i, value in enumerate(column) if value != first)
            raise SourceError(
                f"{place(i)}: '{name}' is {_shown(column[i])}, but {_shown(first)} at {place(0)} in the same step. "
                "Expected one value a step, for samples drawn in two ways must not be averaged: write two logs."
            )
        if first is not None:
            found[name] = first
    return found


def sampling_change(previous: Samples, current: Samples) -> str | None:
    """What changed in how samples are drawn, as a sentence; None if nothing did as far as the logs say.

    Settings that only one of the two knows are not compared.
    """
    before, after = previous.sampling, current.sampling
    changes = []
    for name in before:
        if name not in after:
            continue
        old, new = before[name], after[name]
        if name == PROMPT_TEMPLATE:
            if difference := template_difference(old, new):
                changes.append(f"template: {difference}")
        elif old != new:
            changes.append(f"{name} from {_shown(old)} to {_shown(new)}")
    if not changes:
        return None
    return (
        f"How samples are drawn changed between step {previous.step} and step {current.step}: {'; '.join(changes)}. "
        "What differs between them may be due to that, and not to the policy."
    )


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
