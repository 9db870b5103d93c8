"""What an answer says, in whichever format: its format by structure alone, its number, and the numbers on the way.

The format never depends on whether the answer is right or can be read (Echo Chamber's own classifier did; see
`eval.formats`, whose labels "python", "tool call" and "prose" are these).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from vpo.tasks.format_mixture.arithmetic import Computed, compute
from vpo.tasks.texts import between

_DEF = re.compile(r"^[ \t]*+def[ \t]+[A-Za-z_]\w*[ \t]*\(", re.MULTILINE)
_NUMBER = re.compile(r"[\s:*$]{0,9}([-+]?[0-9]{1,12}(?:\.[0-9]{1,9})?)(?![0-9])")
_MARKER = re.compile(r"answer is|####", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")
_MOST_EQUATIONS = 64


@dataclass(frozen=True)
class Reading:
    """An answer as it was read.

    Attributes:
        form: "python", "tagged", "prose", "empty" or "other".
        value: The final number; None if none can be read.
        values: Computed on the way, the final one included, in order.
    """

    form: str
    value: Fraction | None
    values: tuple[Fraction, ...]


def read(answer: str) -> Reading:
    """Read any text."""
    form = form_of(answer)
    if form == "python":
        computed = compute(_function(answer))
    elif form == "tagged":
        computed = compute(between(answer, "<llm-code>", "</llm-code>") or "")
    else:
        computed = Computed(_marked_number(answer), _equations(answer))
    return Reading(form, computed.value, computed.values)


def form_of(answer: str) -> str:
    """The format of a text, by how it is built."""
    if not answer.strip():
        return "empty"
    if _DEF.search(answer):
        return "python"
    if "<llm-code>" in answer or "</llm-code>" in answer:
        return "tagged"
    return "prose" if _WORD.search(answer) else "other"


def _function(text: str) -> str:
    """The first function: its line, and the indented and empty ones after it."""
    start = _DEF.search(text)
    assert start is not None  # its format says so
    first, *rest = text[start.start() :].lstrip("\n").split("\n")
    depth = len(first) - len(first.lstrip())
    kept = [first[depth:]]
    for line in rest:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        kept.append(line[depth:])
    return "\n".join(kept)


def _marked_number(text: str) -> Fraction | None:
    """The number after the last marker."""
    found = None
    for marker in _MARKER.finditer(text):
        found = _NUMBER.match(text, marker.end())
    return Fraction(found[1]) if found else None


def _equations(text: str) -> tuple[Fraction, ...]:
    """Numbers to the right of an equals sign with a number or bracket to its left."""
    found = []
    for left, right in pairwise(text.split("=", _MOST_EQUATIONS)):
        number = _NUMBER.match(right)
        end = left[-9:].rstrip()[-1:]
        if number and (end.isdigit() or end == ")"):
            found.append(Fraction(number[1]))
    return tuple(found)
