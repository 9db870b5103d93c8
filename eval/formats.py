"""What kind of text a completion is: features first, then exactly one label, so that shares sum to 1.

RL can move a policy to one format long before any score shows it (Echo Chamber, arXiv 2504.07912). The classifier
published with that paper shows what to avoid, and each point is a rule here: "define" in prose is not code (marks are
sought where a line begins); code or JSON that does not parse keeps its label (only shape is looked at, nothing is run
or parsed); no label depends on whether an answer was right; nothing is skipped: empty, cut off and endlessly repeating
completions are classes, and so is what no rule knows. A task's own kinds of *answers* are told apart by the task.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol


class Taxonomy(Protocol):
    """Gives every completion one label; must not look at success."""

    def __call__(self, text: str, finish_reason: str = "stop", row: Mapping[str, Any] | None = None) -> str:
        """Label of a completion.

        Args:
            text: The completion.
            finish_reason: ``stop``, or ``length`` if it was cut off by the limit.
            row: The other columns of its dataset row, where they are known.
        """
        ...


def _lines(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*+{pattern}", re.MULTILINE | flags)


# Order of precedence. A number is how many matches make the feature: one dash is no list. No pattern can backtrack over
# more than a few hundred characters, so a completion takes linear time whatever it holds.
_FEATURES: tuple[tuple[str, re.Pattern[str], int], ...] = (
    ("python", _lines(r"(?:async[ \t]+)?def[ \t]+[A-Za-z_]\w*[ \t]*\("), 1),
    (
        "python",
        _lines(
            r"(?:import \w+(?: as \w+)?[ \t]*$|from [\w.]+ import |print\(|return\b|for .{1,80} in .{1,80}:[ \t]*$)"
        ),
        2,
    ),
    ("json", re.compile(r"\A\s*[\[{][\s\[{]{0,20}\"[^\"\n]{0,200}\"\s{0,20}:|^[ \t]*+```(?i:json)", re.MULTILINE), 1),
    ("code fence", _lines(r"(?:```|~~~)"), 1),
    ("tool call", re.compile(r"</?(?:tool_call|function_call|llm-code)\b|<\|python_tag\|>|<function="), 1),
    ("think tags", re.compile(r"</?(?:think|thinking|thought|reasoning|scratchpad)>"), 1),
    ("xml tags", re.compile(r"</[A-Za-z]"), 1),  # and the rest of the pair, see _has_paired_tags
    ("tagged answers", re.compile(r"<[A-Za-z][\w-]{0,40}_\d{1,4}>|<answer>"), 1),
    (
        "latex",
        re.compile(r"\$\$|\\[\[(]|\\begin\{|\\(?:d?frac|sqrt|cdot|times|sum|int|leq?|geq?|approx|pi|implies)\b"),
        1,
    ),
    ("latex", re.compile(r"\$(?=[^$\n]{0,200}[\\^_={}])(?!\s)[^$\n]{1,200}(?<!\s)\$(?!\d)"), 1),
    ("numbered steps", _lines(r"(?:#{1,6}[ \t]+)?(?:\*\*)?(?:step[ \t]+\d+\b|\d{1,3}[.)](?=\s))", re.IGNORECASE), 2),
    ("bullets", _lines(r"[-*+•][ \t]+\S"), 2),
    ("headings", _lines(r"#{1,6}[ \t]+(?![-+$]?\d[\d,.]*[ \t]*$)\S"), 1),
    ("table", _lines(r"\|[^|\n]{1,200}\|[^\n]{0,400}\|[ \t]*$"), 2),
    ("boxed", re.compile(r"\\boxed\b"), 1),
    ("final-answer marker", _lines(r"####[ \t]*\S"), 1),
)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]{0,40})(?:\s[^<>]{0,200})?>")
_WORD = re.compile(r"[^\W\d_]{2,}")

LABELS: tuple[str, ...] = (
    "empty",
    "degenerate",
    "truncated",
    *dict.fromkeys(name for name, *_ in _FEATURES),
    "prose",
    "other",
)
"""Every label of :class:`RuleTaxonomy`, in order of precedence."""


class RuleTaxonomy:
    """The built-in rules: format of a completion by its structure.

    The label is the first of :data:`LABELS` that applies: ``degenerate`` ends in one passage over and over, ``prose``
    has a word in it and is half letters at least. A completion that shows several features, such as a list with
    formulas, counts for the first.
    """

    def __call__(self, text: str, finish_reason: str = "stop", row: Mapping[str, Any] | None = None) -> str:
        """The one label of a completion, see :class:`Taxonomy`; ``row`` plays no part."""
        if not text or text.isspace():
            return "empty"
        if repeats_at_the_end(text):
            return "degenerate"
        if finish_reason == "length":
            return "truncated"
        for name, pattern, least in _FEATURES:
            if _shows(text, name, pattern, least):
                return name
        return "prose" if _is_prose(text) else "other"

    def features(self, text: str) -> frozenset[str]:
        """All features that the text shows, whichever of them would be its label."""
        return frozenset(name for name, pattern, least in _FEATURES if _shows(text, name, pattern, least))


def repeats_at_the_end(text: str, least_length: int = 60, least_times: int = 4) -> bool:
    """Whether the text runs out in one passage over and over, letter by letter, as a policy does that never stops.

    Args:
        text: The completion.
        least_length: Characters that the repetition must fill.
        least_times: Times that the passage must stand there. Numbered answers with the same content are no repetition:
            their tags differ.
    """
    end = len(text.rstrip())
    probe = text[max(0, end - 16) : end]
    start = end - len(probe)
    for _ in range(8):  # occurrences of the last 16 characters, each of which proposes the passage's length
        earlier = text.rfind(probe, 0, start + len(probe) - 1)
        if earlier < 0:
            return False
        period = end - len(probe) - earlier
        length = max(least_length, least_times * period)
        if length > end:
            return False  # those further back propose still longer ones
        if text[end - length : end - period] == text[end - length + period : end]:
            return True
        start = earlier
    return False


def _shows(text: str, name: str, pattern: re.Pattern[str], least: int) -> bool:
    if name == "xml tags":
        return pattern.search(text) is not None and _has_paired_tags(text)
    if least == 1:
        return pattern.search(text) is not None
    matches = pattern.finditer(text)
    return all(next(matches, None) is not None for _ in range(least))


def _has_paired_tags(text: str) -> bool:
    """Whether some tag is opened and closed, other than those that hold answers."""
    tags = set(_TAG.findall(text))
    return any(("/", name) in tags for slash, name in tags if not slash and not _holds_answer(name))


def _holds_answer(name: str) -> bool:
    return name == "answer" or name.rpartition("_")[2].isdigit()


def _is_prose(text: str) -> bool:
    letters = sum(map(str.isalpha, text[:2000]))
    return bool(_WORD.search(text)) and 2 * letters >= len("".join(text[:2000].split()))
