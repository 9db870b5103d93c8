"""Samples to show: a typical one of each label at the base, at an alarm and now; correct ones in formats given up.

Typical = the medoid under shared character trigrams, among the first few samples of a label. Nothing here is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from eval.collapse.counted import Counted
from eval.collapse.run_report import Example

_CANDIDATES = 12
_CHARACTERS = 600  # of a text, for likeness
_LABELS = 8
_SUPPRESSED = 3
When = Literal["base", "alarm", "last"]


def medoids(look: Counted, when: When, facet: str = "format") -> list[Example]:
    """A typical sample of each of the most frequent labels, most frequent first.

    Args:
        look: The look.
        when: What it stands for.
        facet: Whose labels.
    """
    labels = look.labels[facet]
    shares = look.tallies[facet].shares
    found = []
    for label in sorted(shares, key=lambda each: (-shares[each], each))[:_LABELS]:
        members = [place for place, each in enumerate(labels) if each == label][:_CANDIDATES]
        place = members[_medoid([look.samples.texts[member] for member in members])]
        found.append(_example(look, place, "medoid", facet, label, when))
    return found


def suppressed(base: Counted, look: Counted, facet: str = "format") -> list[Example]:
    """Correct samples in labels that have less than half of their base share left; the pool to sample again from.

    Args:
        base: The reference, which is asked for samples that the look lacks.
        look: The last look.
        facet: Whose labels.
    """
    if base.correct is None or look.correct is None:
        return []
    before, now = base.tallies[facet].shares, look.tallies[facet].shares
    found = []
    for label, share in sorted(before.items(), key=lambda item: -item[1]):
        if share < 0.05 or now.get(label, 0.0) >= share / 2:
            continue
        parts: tuple[tuple[Counted, When], ...] = ((look, "last"), (base, "base"))
        for source, when in parts:
            assert source.correct is not None
            places = [i for i, each in enumerate(source.labels[facet]) if each == label and source.correct[i] == 1]
            if places:
                found += [_example(source, i, "suppressed", facet, label, when) for i in places[:_SUPPRESSED]]
                break
    return found


def _example(
    look: Counted, place: int, kind: Literal["medoid", "suppressed"], facet: str, label: str, when: When
) -> Example:
    samples = look.samples
    grade = None if look.correct is None else look.correct[place]
    correct = None if grade is None or grade != grade else bool(grade)
    prompt = "" if samples.prompts is None else samples.prompts[place]
    return Example(kind, facet, label, when, samples.step, prompt, samples.texts[place], correct)


def _medoid(texts: Sequence[str]) -> int:
    sets = [{text[i : i + 3] for i in range(min(len(text), _CHARACTERS) - 2)} for text in texts]
    likeness = [sum(len(a & b) / max(len(a | b), 1) for b in sets) for a in sets]
    return max(range(len(texts)), key=lambda place: likeness[place])
