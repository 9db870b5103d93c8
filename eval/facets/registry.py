"""Facets by name, and the ones that the monitor watches unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from eval.facets.answer_channel import AnswerFacet
from eval.facets.cluster import ClusterFacet
from eval.facets.length import LengthFacet
from eval.facets.opening import OpeningFacet
from eval.facets.rule_labels import FormatFacet, TaskFacet, TaskLabel
from eval.facets.written_rules import read_rules
from eval.samples import Facet

STANDARD: tuple[str, ...] = ("format", "opening", "answer", "length", "cluster")
"""What is watched by default."""


def default_facets(
    names: str | Sequence[str] = STANDARD,
    rules: str | Path | None = None,
    task_label: TaskLabel | None = None,
    seed: int = 0,
) -> list[Facet]:
    """New facets, none of them fitted yet.

    Args:
        names: In the order wanted: a list, or one text with commas, such as ``format,opening,length``. Of
            :data:`STANDARD`, and ``task`` where there is a ``task_label``.
        rules: YAML with rules of your own for ``format``, see :mod:`eval.facets.written_rules`; None for the built-in.
        task_label: A task's ``label`` method. Given with the standard names, its facet comes last.
        seed: Of the clusters.

    Raises:
        ValueError: A name is unknown or stands twice, none is given, or ``task`` is asked for without its label.
        FileNotFoundError: There is no file of rules.
    """
    wanted = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    if tuple(wanted) == STANDARD and task_label is not None:
        wanted.append("task")
    makers: dict[str, Callable[[], Facet]] = {
        "format": lambda: FormatFacet(None if rules is None else read_rules(rules)),
        "opening": OpeningFacet,
        "answer": AnswerFacet,
        "length": LengthFacet,
        "cluster": lambda: ClusterFacet(seed=seed),
    }
    if task_label is not None:
        makers["task"] = lambda: TaskFacet(task_label)
    wrong = [name for name in wanted if name not in makers]
    if wrong or not wanted:
        hint = " 'task' needs the task's label function." if "task" in wrong else ""
        raise ValueError(
            f"facets are {', '.join(map(repr, wanted)) or 'none'}: expected some of {', '.join(makers)}.{hint} Write "
            "them with commas, such as format,cluster."
        )
    if twice := sorted({name for name in wanted if wanted.count(name) > 1}):
        raise ValueError(f"facet {twice[0]!r} stands twice: expected each once. Remove one.")
    return [makers[name]() for name in wanted]


def facet_states(facets: Sequence[Facet]) -> dict[str, dict[str, object]]:
    """State of each facet by its name, as JSON can hold it."""
    return {facet.name: facet.state() for facet in facets}


def restore_facets(facets: Sequence[Facet], states: Mapping[str, Mapping[str, object]]) -> None:
    """Take up what :func:`facet_states` gave.

    Raises:
        ValueError: A facet has no state there.
    """
    if missing := [facet.name for facet in facets if facet.name not in states]:
        raise ValueError(
            f"there is no state of {', '.join(missing)}, only of {', '.join(sorted(states)) or 'none'}: expected one "
            "of each facet. Ask for the same facets as the run was begun with, or fit them anew."
        )
    for facet in facets:
        facet.restore(states[facet.name])
