"""The skeleton of a text: a type for each line, with what marks it, equal neighbours drawn together.

A hundred lines of one kind and three of them are the same structure. Nothing is parsed and no word is read, save the
keywords that a kind of line begins with, so that a line done badly is still of its kind.
"""

from __future__ import annotations

import re
from itertools import groupby

from eval.facets.masking import FOUR_HASHES, LONGEST

# The first kind that matches is the line's. None backtracks: a line takes linear time.
_KINDS: tuple[tuple[str, str], ...] = (
    ("fence", r"(?:```|~~~)[ ]*(?P<language>[A-Za-z]{0,12})"),
    ("def", r"(?:async[ ]+)?(?:def|class)[ ]+[A-Za-z_]\w*+[ ]*[(:]"),
    ("return", r"(?:return|yield|raise)\b(?![ ]+(?:to|the)\b)"),
    ("import", r"(?:import[ ]+[\w.]++(?:[ ]+as[ ]+\w++)?[ ]*$|from[ ]+[\w.]++[ ]+import\b)"),
    ("docstring", r'(?:"""|\'\'\')'),
    ("comment", r"(?://|#!)"),
    ("gsm", rf"####(?!#)(?:{FOUR_HASHES})"),
    ("heading", r"#{1,6}[ ]+\S"),
    ("tag", r"</?(?P<opened>[A-Za-z][\w|-]{0,30})[^<>\n]{0,100}>"),
    ("numbered", r"(?:\*\*)?(?:\d{1,3}[.)](?=[ \t]|$)|(?i:step)[ ]+\d++)"),
    ("bullet", r"[-*+•][ ]+\S"),
    ("row", r"\|.*\|[ ]*$"),
    ("display", r"(?:\$\$|\\\[|\\\]|\\(?:begin|end)\{)"),
    ("rule", r"(?:-{3,}|\*{3,}|_{3,}|={3,})[ ]*$"),
    ("json", r'(?:[\[\]{}]+,?[ ]*$|"[^"]{0,200}"[ ]*(?::|,?[ ]*$)|[\[{][ ]*["\[{])'),
    ("call", r"print\("),
    ("block", r"(?:if|for|while|else|elif|try|with|except)\b.{0,300}:[ ]*$"),
    ("assignment", r"[A-Za-z_][\w.]*+(?:\[[^\]]{0,80}\])?[ ]*[-+*/]?=(?!=)"),
    ("answer", r"(?i:\W{0,4}(?:the |so |therefore,? |final )*+(?:final )?answer\b)"),
    ("sum", r"[-+*/=()0-9.,$ ]*+$"),
)
KINDS: tuple[str, ...] = (*(name for name, _ in _KINDS), "text", "blank")
"""Kinds of lines, the telling ones first."""

_KIND = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS))
_DETAIL = {"fence": "language", "tag": "opened"}
_DIGITS = re.compile(r"\d++")
_MARKS: tuple[tuple[str, str], ...] = (("boxed", "\\boxed"), ("bold", "**"), ("calculator", "<<"), ("code", "`"))
_MOST_REMEMBERED = 50_000
_LONGEST_LINE = 1000


class _Types(dict[str, str]):
    """Line -> type; bounded. Policies repeat lines such as tags and fences, and whole texts, all the time."""

    def __missing__(self, line: str) -> str:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        found = self[line] = _line_type(line)
        return found


_TYPES = _Types()


def skeleton(text: str) -> list[str]:
    r"""Types of the lines, runs of equal ones drawn together.

    >>> skeleton("def f():\n    x = 1\n    y = 2\n    return x")
    ['def', '>assignment', '>return']

    Args:
        text: Any; characters beyond :data:`~eval.facets.masking.LONGEST` are left out.

    Returns:
        Such as ``numbered``, ``>text+boxed``: ``>`` for an indented line, then its kind, then marks it holds.
    """
    return [kind for kind, _ in groupby(map(_TYPES.__getitem__, text[:LONGEST].split("\n")))]


def bare_kind(line_type: str) -> str:
    """The kind of line without indentation, details and marks: ``tag`` of ``>tag:answer+bold``."""
    return re.split("[+:]", line_type.lstrip(">"))[0]


def _line_type(line: str) -> str:
    bare = line.strip()[:_LONGEST_LINE]
    if not bare:
        return "blank"
    match = _KIND.match(bare)
    kind = (match and match.lastgroup) or "text"
    indent = ">" if line[0] in " \t" else ""
    if kind == "heading" and indent:
        kind = "comment"
    if match and (detail := _DETAIL.get(kind)) and match[detail]:
        kind += ":" + _DIGITS.sub("0", match[detail].lower())
    marks = [name for name, mark in _MARKS if mark in bare and (name, kind[:5]) != ("code", "fence")]
    if "$" in bare.partition("$")[2] and kind != "display":
        marks.append("math")
    return indent + "+".join([kind, *marks])
