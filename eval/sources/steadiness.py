"""What must stay the same from step to step of one log, for charts and tests to go over them all.

Other reward components, or steps that do not ascend, are an error: no average may go over them. A column that comes,
goes or changes its type is a warning: what is read from it (truncation from finish reasons, a task's own formats from
its row) begins or ends there. What prompts share is followed, and goes with the samples
(:mod:`eval.sources.templates`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eval.samples import Samples
from eval.sources.errors import SourceError
from eval.sources.sampling import PROMPT_TEMPLATE
from eval.sources.templates import TemplateWatch

_TYPES = {type(None): "", int: "number", float: "number", str: "text"}  # 1 and 1.5 are of one kind
_OPTIONAL = ("prompts", "finish_reasons", "tokens", "depths", "entropies")


class Steadiness:
    """Sees each step of one reading.

    Args:
        path: Of the log, for messages.
        warn: Takes a warning and its topic.
    """

    def __init__(self, path: Path, warn: Callable[[str, str | None], None]) -> None:
        self._path = path
        self._warn = warn
        self._step: int | None = None
        self._components: tuple[str, ...] = ()
        self._columns: dict[str, str] = {}
        self._templates = TemplateWatch()

    def passed(self, samples: Samples) -> Samples:
        """The samples with their prompts' template, components in the order of the first step.

        Raises:
            SourceError: The step is not above the last one, or has other components.
        """
        if self._step is not None:
            if samples.step <= self._step:
                raise SourceError(
                    f"{self._path}: step {samples.step} comes after step {self._step}, expected ascending steps. If a "
                    "resumed run wrote into the same log, delete what it repeats."
                )
            samples = self._in_order(samples, self._step)
            self._compare_columns(samples, self._step)
        now = _columns(samples)
        self._columns = {name: kind or self._columns.get(name, "") for name, kind in now.items()}
        self._step, self._components = samples.step, samples.components or self._components
        template = None if samples.prompts is None else self._templates.see(samples.prompts)
        if template is None:
            return samples
        return dataclasses.replace(samples, sampling={**samples.sampling, PROMPT_TEMPLATE: template})

    def _in_order(self, samples: Samples, last_step: int) -> Samples:
        new, old = samples.components, self._components
        if new == old or not old:  # a run whose first completions held no answer does not know its components yet
            return samples
        if set(new) == set(old):
            columns = [new.index(name) for name in old]
            return dataclasses.replace(samples, components=old, rewards=samples.rewards[:, columns])
        raise SourceError(
            f"{self._path}: step {samples.step} {_difference(new, old)} against the reward components of step "
            f"{last_step}, expected {', '.join(map(repr, old))} at every step. Rewards of different kinds are not "
            "averaged: split the log there, write null where a component does not apply, or name the ones to read with "
            "components=."
        )

    def _compare_columns(self, samples: Samples, last_step: int) -> None:
        before, now = self._columns, _columns(samples)
        if before.keys() != now.keys():
            self._warn(
                f"step {samples.step} {_difference(now, before)} against step {last_step}: what is read from such a "
                "column begins or ends there, and does not compare over it.",
                "columns",
            )
        for name in before.keys() & now.keys():
            if now[name] and before[name] and now[name] != before[name]:
                self._warn(
                    f"'{name}' is {now[name]} from step {samples.step} on, and was {before[name]} up to step "
                    f"{last_step}: labels that are read from it do not compare over that step.",
                    f"type of {name}",
                )


def _columns(samples: Samples) -> dict[str, str]:
    """Columns that this step has beyond texts and rewards, and the type of each; "" for null, which has none."""
    found = {name: "logged" for name in _OPTIONAL if getattr(samples, name) is not None}
    row: Mapping[str, Any] = samples.rows[0] if samples.rows else {}
    return {**found, **{f"row: {name}": _TYPES.get(type(value), type(value).__name__) for name, value in row.items()}}


def _difference(new: Any, old: Any) -> str:
    added, lost = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    return " and ".join(
        f"{verb} {', '.join(map(repr, names))}" for verb, names in (("gains", added), ("lacks", lost)) if names
    )
