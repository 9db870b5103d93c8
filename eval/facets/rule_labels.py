"""Labels that are rules, so that nothing can drift: formats by their structure, kinds of answers by the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eval.facets.remembered import Remembered
from eval.formats import RuleTaxonomy, Taxonomy
from eval.samples import Samples

TaskLabel = Callable[[str, Mapping[str, Any]], str]
"""A task's ``label``: kind of an answer from its text and its dataset row, whatever it earns."""


class FormatFacet:
    """Format of a text under a taxonomy.

    Args:
        taxonomy: :class:`~eval.formats.RuleTaxonomy` by default, or one of your own, such as
            :func:`~eval.facets.written_rules.read_rules` makes of a file.
        name: Of the facet; other than ``format`` where two taxonomies are watched side by side.
    """

    description = "Format by rules of structure; never by success"

    def __init__(self, taxonomy: Taxonomy | None = None, name: str = "format") -> None:
        self.name = name
        self.taxonomy: Taxonomy = RuleTaxonomy() if taxonomy is None else taxonomy
        self._stopped = Remembered(self._of_stopped)

    def fit(self, reference: Samples) -> None:
        """Nothing to fit."""

    def labels(self, samples: Samples) -> list[str]:
        """N labels of the taxonomy. A finish reason that is not known counts as ``stop``.

        Raises:
            TypeError: A taxonomy gave something that is no text.
        """
        reasons = [reason or "stop" for reason in samples.finish_reasons or [""] * len(samples)]
        if getattr(self.taxonomy, "reads_text_only", False):
            stopped = iter(
                self._stopped([text for text, why in zip(samples.texts, reasons, strict=True) if why != "length"])
            )
            return [
                _checked(self.taxonomy(text, "length"), self.name) if why == "length" else next(stopped)
                for text, why in zip(samples.texts, reasons, strict=True)
            ]
        found = [
            self.taxonomy(text, why, row) for text, why, row in zip(samples.texts, reasons, _rows(samples), strict=True)
        ]
        return [_checked(label, self.name) for label in found]

    def state(self) -> dict[str, Any]:
        """The fingerprint of the rules, where the taxonomy has one: {} for a function of your own."""
        fingerprint = getattr(self.taxonomy, "fingerprint", None)
        return {} if fingerprint is None else {"rules": fingerprint}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See that the rules are those of the state.

        Raises:
            ValueError: They are others, as far as both have a fingerprint.
        """
        before, now = state.get("rules"), self.state().get("rules")
        if None not in (before, now) and before != now:
            raise ValueError(
                f"facet {self.name!r}: the rules are not those that the run was begun with: expected fingerprint "
                f"{before}, got {now}. Labels before and after would not compare: put the rules back as they were "
                "(for the built-in ones, the version of vpo), or begin anew in another folder."
            )

    def _of_stopped(self, texts: list[str]) -> list[str]:
        return [_checked(self.taxonomy(text), self.name) for text in texts]


class TaskFacet:
    """A task's own kinds of answers, by its ``label`` method.

    Args:
        label: Gives the kind of an answer from its text and its dataset row. Where the log holds no rows, the row is
            empty.
        name: Of the facet.
    """

    description = "The task's own kinds of answers"

    def __init__(self, label: TaskLabel, name: str = "task") -> None:
        self.name = name
        self.label = label

    def fit(self, reference: Samples) -> None:
        """Nothing to fit."""

    def labels(self, samples: Samples) -> list[str]:
        """N labels of the task.

        Raises:
            TypeError: A label is no text.
            ValueError: The task's function needs a column that the row does not have.
        """
        found = []
        for text, row in zip(samples.texts, _rows(samples), strict=True):
            try:
                found.append(_checked(self.label(text, row), self.name))
            except KeyError as error:
                raise ValueError(
                    f"facet {self.name!r}: the task's label function asks for the column {error}, and the row has "
                    f"{sorted(row) or 'none'}: expected the dataset's columns in the log. Read a log that keeps them, "
                    "or leave the facet out."
                ) from error
        return found

    def state(self) -> dict[str, Any]:
        """{}: rules have none."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to take up."""


def _rows(samples: Samples) -> list[Mapping[str, Any]]:
    return [{}] * len(samples) if samples.rows is None else list(samples.rows)


def _checked(label: Any, name: str) -> str:
    if not isinstance(label, str):
        raise TypeError(
            f"facet {name!r}: a label is {label!r}, of type {type(label).__name__}: expected text. Return a name of "
            "the kind, such as 'python', from the label function."
        )
    return label
