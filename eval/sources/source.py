"""What every kind of log can do: give samples step by step, and say what was wrong with it.

Steps come in ascending order with one set of reward components; anything else is an error, for no chart and no test may
average over it. What prompts share is followed from step to step (:mod:`eval.sources.templates`).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.samples import Samples
from eval.sources.errors import SourceError
from eval.sources.sampling import PROMPT_TEMPLATE
from eval.sources.templates import TemplateWatch

_MOST_WARNINGS = 100


@dataclasses.dataclass
class Cursor:
    """How far one reading of a log has come.

    Attributes:
        offset: Bytes of a file whose samples were given out.
        line: Lines before ``offset``.
        components: Reward columns, once the first step has told them, for kinds that guess them from the values.
    """

    offset: int = 0
    line: int = 0
    components: list[str] | None = None


class Source(ABC):
    """A log of one kind.

    Args:
        path: File or folder.
        skip_damaged: Leave out what cannot be read, with a warning, instead of raising.
        components: Columns that are rewards, where the log does not tell them from others; None: all that can be.

    Attributes:
        name: Of the kind, as reports show it.
        warnings: What was noticed while reading, each once, at most a hundred.
    """

    name: str

    def __init__(self, path: str | Path, skip_damaged: bool = False, components: Sequence[str] | None = None) -> None:
        self.path = Path(path)
        self.skip_damaged = skip_damaged
        self.components = None if components is None else tuple(components)
        self.warnings: list[str] = []
        self._topics: set[str] = set()
        self._cursor = Cursor()
        self._followed = Steadiness()

    def read(self, after_step: int = -1) -> Iterator[Samples]:
        """Yield the samples of each step, ascending, as the log stands now.

        Args:
            after_step: Leave out this step and all before.

        Raises:
            FileNotFoundError: There is no such file or folder.
            SourceError: The log is damaged, not of this kind, out of order, or its reward components change.
        """
        steady = Steadiness()
        for samples in self._steps(after_step, True, Cursor()):
            yield steady.passed(samples, self)

    def poll(self, after_step: int = -1, final: bool = False) -> Iterator[Samples]:
        """Yield the steps that are whole, of a log that may be growing; for :func:`eval.sources.follow`.

        A file is taken up where the last call left it, so one follower a source.

        Args:
            after_step: Leave out this step and all before.
            final: The writer is done: the last step is whole, too.

        Raises:
            SourceError: As :meth:`read`; a file that may still be in writing is none.
        """
        for samples in self._steps(after_step, final, self._cursor):
            yield self._followed.passed(samples, self)

    def warn(self, text: str, topic: str | None = None) -> None:
        """Note something that a reader of the report should know; of a topic, the first occurrence only."""
        if (topic or text) in self._topics or len(self.warnings) > _MOST_WARNINGS:
            return
        self._topics.add(topic or text)
        self.warnings.append(text if len(self.warnings) < _MOST_WARNINGS else "There are more warnings than these.")

    @abstractmethod
    def _steps(self, after_step: int, final: bool, cursor: Cursor) -> Iterator[Samples]:
        """As :meth:`read` if ``final``, else as :meth:`poll`; ``cursor`` is moved past what was yielded."""


class Steadiness:
    """What must stay the same from step to step of one log."""

    def __init__(self) -> None:
        self._last: Samples | None = None
        self._templates = TemplateWatch()

    def passed(self, samples: Samples, source: Source) -> Samples:
        """The samples with their prompts' template, components in the order of the first step.

        Raises:
            SourceError: The step is not above the last one, or has other components.
        """
        last = self._last
        if last is not None:
            if samples.step <= last.step:
                raise SourceError(
                    f"{source.path}: step {samples.step} comes after step {last.step}, expected ascending steps. If a "
                    "resumed run wrote into the same log, delete what it repeats."
                )
            samples = _in_order(samples, last, source)
        self._last = dataclasses.replace(
            samples, prompt_ids=(), texts=(), rewards=samples.rewards[:0], completions=samples.completions[:0],
            prompts=None, finish_reasons=None, tokens=None, depths=None, entropies=None, rows=None,
        )  # fmt: skip
        if samples.prompts is None:
            return samples
        template = self._templates.see(samples.prompts)
        if template is None:
            return samples
        return dataclasses.replace(samples, sampling={**samples.sampling, PROMPT_TEMPLATE: template})


def _in_order(samples: Samples, last: Samples, source: Source) -> Samples:
    new, old = samples.components, last.components
    if new == old or not old:  # a run whose first completions held no answer does not know its components yet
        return samples
    if set(new) == set(old):
        return dataclasses.replace(
            samples, components=old, rewards=samples.rewards[:, [new.index(name) for name in old]]
        )
    added, lost = sorted(set(new) - set(old)), sorted(set(old) - set(new))
    what = [f"{verb} {', '.join(map(repr, names))}" for verb, names in (("gains", added), ("lacks", lost)) if names]
    raise SourceError(
        f"{source.path}: step {samples.step} {' and '.join(what)} against the reward components of step {last.step}, "
        f"expected {', '.join(map(repr, old)) or 'none'} at every step. Rewards of different kinds are not averaged: "
        "split the log there, write null where a component does not apply, or name the ones to read with components=."
    )
