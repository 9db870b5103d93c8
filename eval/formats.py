"""What kind of text a completion is: a rule taxonomy with one exhaustive label.

Content-free features come first, then one primary label by precedence, so that shares sum to 1. A label never depends on
whether an answer was right: a parse error is no class, and a monitor of formats must not see success. Truncated, degenerate
and empty completions and ``other`` are classes of their own. Tasks bring label functions for their answers; this one is for text.
"""

from __future__ import annotations

import json
import re
from typing import Protocol

LABELS = (
    "empty",
    "degenerate",
    "truncated",
    "tagged answers",
    "think tags",
    "tool call",
    "json",
    "code fence",
    "python",
    "boxed",
    "final-answer marker",
    "latex",
    "table",
    "numbered steps",
    "bullets",
    "headings",
    "prose",
    "other",
)


class Taxonomy(Protocol):
    """Gives a completion its label."""

    def __call__(self, text: str, finish_reason: str = "stop") -> str:
        """Exactly one label, whatever the text."""
        ...


# Anchored to the start of a line: "define" and "classic" in prose are not code. Leading space is `[ \t]*`, never `\s*`:
# that would run over line ends, and a text of empty lines would take quadratic time.
_FEATURES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("tagged answers", re.compile(r"<([A-Za-z][\w-]*)_\d+>.*?</\1_\d+>", re.DOTALL)),
    ("think tags", re.compile(r"<think(?:ing)?>|<reasoning>|</think(?:ing)?>")),
    ("tool call", re.compile(r"<tool_call>|<function_call>|\"name\"\s*:\s*\"[^\"]+\"\s*,\s*\"arguments\"\s*:")),
    ("code fence", re.compile(r"^[ \t]*```", re.MULTILINE)),
    (
        "python",
        re.compile(
            r"^[ \t]*(?:def \w+\(.*\).*:|class \w+.*:|import \w+|from \w[\w.]* import |for \w+ in .*:|print\()", re.M
        ),
    ),
    ("boxed", re.compile(r"\\boxed\{")),
    ("final-answer marker", re.compile(r"^[ \t]*####\s", re.MULTILINE)),
    ("latex", re.compile(r"\$\$|\\\[|\\\(|\\begin\{|(?<!\\)\$[^$\n]*[\\^_=][^$\n]*\$")),
    ("table", re.compile(r"^[ \t]*\|.*\|.*\|[ \t]*$", re.MULTILINE)),
    ("headings", re.compile(r"^#{1,6} ", re.MULTILINE)),
)
# One numbered or bulleted line is a sentence with a number in it; two are a list.
_LISTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("numbered steps", re.compile(r"^[ \t]*(?:\d+[.)]|[Ss]tep[ \t]+\d+)[ \t:]", re.MULTILINE)),
    ("bullets", re.compile(r"^[ \t]*[-*•][ \t]", re.MULTILINE)),
)
_MOST_READ = 20_000  # characters; a format shows long before, and no text can be slow


class RuleTaxonomy:
    """The built-in rules; see :data:`LABELS` for the classes, in order of precedence."""

    def __call__(self, text: str, finish_reason: str = "stop") -> str:
        """Primary label of a completion.

        Args:
            text: The completion.
            finish_reason: ``length`` if it was cut off.
        """
        if not text.strip():
            return "empty"
        text = text[:_MOST_READ]
        if _is_degenerate(text):
            return "degenerate"
        if finish_reason == "length":
            return "truncated"
        features = self.features(text)
        return next((label for label in LABELS if label in features), "other")

    def features(self, text: str) -> set[str]:
        """All labels whose mark the text carries, before precedence."""
        found = {label for label, pattern in _FEATURES if pattern.search(text)}
        found |= {label for label, pattern in _LISTS if len(pattern.findall(text)) > 1}
        stripped = text.strip()
        if stripped[0] in "{[" and _is_json(stripped):
            found.add("json")
        if re.search(r"[A-Za-z]{2,}(?:[ ,]+[A-Za-z']+){3,}", text):
            found.add("prose")
        return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_degenerate(text: str) -> bool:
    """Whether the last words are one short phrase over and over: at least 8 times, over at least 16 words."""
    words = text.split()[-64:]
    for period in range(1, 5):
        run = 0
        for i in range(len(words) - 1, period - 1, -1):
            if words[i] != words[i - period]:
                break
            run += 1
        if run >= max(7 * period, 15):
            return True
    return False
