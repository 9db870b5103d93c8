"""What kind of text a completion is: features first, then exactly one label, so that shares sum to 1.

RL can move a policy to one format long before any score shows it (Echo Chamber, arXiv 2504.07912). The classifier
published with that paper shows what to avoid, and each point is a rule here: "define" in prose is not code (marks are
sought where a line begins); code or JSON that does not parse keeps its label (only shape is looked at, nothing is run
or parsed); no label depends on whether an answer was right; nothing is skipped: empty, cut off and endlessly repeating
completions are classes, and so is what no rule knows. A task's own kinds of *answers* are told apart by the task.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Taxonomy(Protocol):
    """Gives every completion one label; must not look at success.

    Two attributes may be there: ``reads_text_only = True``, so that labels of equal texts are remembered, and
    ``fingerprint``, a text that is another one once the rules are (see :func:`rules_fingerprint`), so that a resumed
    monitor notices.
    """

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


@dataclass(frozen=True)
class _Feature:
    """One kind of mark.

    Attributes:
        name: Label of a text that shows it.
        pattern: The mark. None can backtrack over more than a few hundred characters, so a completion takes linear time
            whatever it holds.
        least: Matches that make the feature: one dash is no list.
        heads: Characters of which one must begin a line, blanks aside, for the pattern to match; "" if any may.
        needles: Passages of which one must stand in the text; () if none need.
    """

    name: str
    pattern: re.Pattern[str]
    least: int = 1
    heads: str = ""
    needles: tuple[str, ...] = ()


# Order of precedence. Heads and needles only save time: looking for them is ten times as fast as a search by pattern,
# and most texts have none of most marks.
_FEATURES: tuple[_Feature, ...] = (
    _Feature("python", _lines(r"(?:async[ \t]+)?def[ \t]+[A-Za-z_]\w*[ \t]*\("), heads="da", needles=("def",)),
    _Feature(
        "python",
        _lines(
            r"(?:import \w+(?: as \w+)?[ \t]*$|from [\w.]+ import |print\(|return\b|for .{1,80} in .{1,80}:[ \t]*$)"
        ),
        least=2,
        heads="ifpr",
    ),
    _Feature("json", re.compile(r"\A\s*[\[{][\s\[{]{0,20}\"[^\"\n]{0,200}\"\s{0,20}:"), needles=('"',)),
    _Feature("json", _lines(r"```(?i:json)"), heads="`"),
    _Feature("code fence", _lines(r"(?:```|~~~)"), heads="`~"),
    _Feature(
        "tool call",
        re.compile(r"</?(?:tool_call|function_call|llm-code)\b|<\|python_tag\|>|<function="),
        needles=("_call", "llm-code", "<|python_tag|>", "<function="),
    ),
    _Feature("think tags", re.compile(r"</?(?:think|thinking|thought|reasoning|scratchpad)>"), needles=("<",)),
    # and the rest of the pair, see _has_paired_tags
    _Feature("xml tags", re.compile(r"</[A-Za-z]"), needles=("</",)),
    _Feature("tagged answers", re.compile(r"<[A-Za-z][\w-]{0,40}_\d{1,4}>|<answer>"), needles=("<",)),
    _Feature(
        "latex",
        re.compile(r"\$\$|\\[\[(]|\\begin\{|\\(?:d?frac|sqrt|cdot|times|sum|int|leq?|geq?|approx|pi|implies)\b"),
        needles=("$$", "\\"),
    ),
    _Feature("latex", re.compile(r"\$(?=[^$\n]{0,200}[\\^_={}])(?!\s)[^$\n]{1,200}(?<!\s)\$(?!\d)"), needles=("$",)),
    _Feature(
        "numbered steps",
        _lines(r"(?:#{1,6}[ \t]+)?(?:\*\*)?(?:step[ \t]+\d+\b|\d{1,3}[.)](?=\s))", re.IGNORECASE),
        least=2,
        heads="#*sSſ0123456789",  # ſ is an s where case is ignored; digits of other scripts count for 0, see _heads
    ),
    _Feature("bullets", _lines(r"[-*+•][ \t]+\S"), least=2, heads="-*+•"),
    _Feature("headings", _lines(r"#{1,6}[ \t]+(?![-+$]?\d[\d,.]*[ \t]*$)\S"), heads="#"),
    _Feature("table", _lines(r"\|[^|\n]{1,200}\|[^\n]{0,400}\|[ \t]*$"), least=2, heads="|"),
    _Feature("boxed", re.compile(r"\\boxed\b"), needles=("\\boxed",)),
    _Feature("final-answer marker", _lines(r"####[ \t]*\S"), heads="#", needles=("####",)),
)
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]{0,40})(?:\s[^<>]{0,200})?>")
_WORD = re.compile(r"[^\W\d_]{2,}")
_ASCII_LETTERS = string.ascii_letters.encode("ascii")

WITHOUT_FORMAT: tuple[str, ...] = ("empty", "degenerate", "truncated")
"""Labels of texts that have no format to speak of, in order of precedence."""

LABELS: tuple[str, ...] = (
    *WITHOUT_FORMAT,
    *dict.fromkeys(feature.name for feature in _FEATURES),
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

    reads_text_only = True  # a text has one label in whichever row it stands: labels may be remembered

    @property
    def fingerprint(self) -> str:
        """Of the built-in rules."""
        return rules_fingerprint((each.name, (each.pattern,), each.least) for each in _FEATURES)

    def __call__(self, text: str, finish_reason: str = "stop", row: Mapping[str, Any] | None = None) -> str:
        """The one label of a completion, see :class:`Taxonomy`; ``row`` plays no part."""
        if without_format := format_is_missing(text, finish_reason):
            return without_format
        heads = _heads(text)
        for feature in _FEATURES:
            if _shows(text, heads, feature):
                return feature.name
        return "prose" if _is_prose(text) else "other"

    def features(self, text: str) -> frozenset[str]:
        """All features that the text shows, whichever of them would be its label."""
        heads = _heads(text)
        return frozenset(feature.name for feature in _FEATURES if _shows(text, heads, feature))


def rules_fingerprint(rules: Iterable[tuple[str, Sequence[re.Pattern[str]], Any]]) -> str:
    """16 hex digits, the same in every process, and others for rules that label otherwise.

    Args:
        rules: In order of precedence: label, patterns, and what else decides, as a number or a text.
    """
    written = [(label, [(each.pattern, each.flags) for each in patterns], rest) for label, patterns, rest in rules]
    return hashlib.blake2b(repr(written).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def format_is_missing(text: str, finish_reason: str = "stop") -> str | None:
    """Which of :data:`WITHOUT_FORMAT` a text is; None for all others, whose format can be asked for."""
    if not text or text.isspace():
        return "empty"
    if repeats_at_the_end(text):
        return "degenerate"
    return "truncated" if finish_reason == "length" else None


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


def _heads(text: str) -> frozenset[str]:
    """Characters that lines begin with, blanks aside; 0 for any digit that is not of ours."""
    heads = {line[:1] for line in map(_without_indent, text.split("\n"))}
    return frozenset(heads | {"0"} if any(head > "\x7f" and head.isdecimal() for head in heads) else heads)


def _without_indent(line: str) -> str:
    return line.lstrip(" \t")


def _shows(text: str, heads: frozenset[str], feature: _Feature) -> bool:
    if feature.heads and heads.isdisjoint(feature.heads):
        return False
    if feature.needles and not any(needle in text for needle in feature.needles):
        return False
    if feature.least > 1:
        matches = feature.pattern.finditer(text)
        return all(next(matches, None) is not None for _ in range(feature.least))
    found = feature.pattern.search(text) is not None
    return found and (feature.name != "xml tags" or _has_paired_tags(text))


def _has_paired_tags(text: str) -> bool:
    """Whether some tag is opened and closed, other than those that hold answers."""
    tags = set(_TAG.findall(text))
    return any(("/", name) in tags for slash, name in tags if not slash and not _holds_answer(name))


def _holds_answer(name: str) -> bool:
    return name == "answer" or name.rpartition("_")[2].isdigit()


def _is_prose(text: str) -> bool:
    return bool(_WORD.search(text)) and 2 * _letters(text[:2000]) >= len("".join(text[:2000].split()))


def _letters(text: str) -> int:
    if text.isascii():  # thirty times as fast
        return len(text) - len(text.encode("ascii").translate(None, _ASCII_LETTERS))
    return sum(map(str.isalpha, text))
