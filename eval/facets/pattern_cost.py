"""Does a pattern take too long on some text? Tried out before it is used, for Python's `re` cannot be interrupted.

A nested repetition such as ``(a+)+$`` takes time that doubles with every letter, and one completion would stop a
training run. A pattern is run on repetitions of what it is made of, with an end that spoils the match, at lengths that
grow step by step; the first on which it is too slow refuses the pattern, long before it would hang. Quadratic time
passes, for most patterns that begin with a repetition take it: two seconds at most on the longest text that rules see.
Where time grows faster than that, as that of ``x.*y.*z`` on many x and y, lengths go up to the longest. This finds the
usual mistakes; it is no proof. Two more guards: rules see at most :data:`LONGEST` characters, and no text that repeats
one passage to the end, which is ``degenerate`` before any rule.
"""

from __future__ import annotations

import re
import time

LONGEST = 8192
"""Characters of a text that a written rule sees: the first three quarters of these and, of longer texts, the end."""
MOST_SECONDS = 2.0
"""On a text of :data:`LONGEST` characters, if time grows with the square of the length."""

_HEAD = LONGEST * 3 // 4
_UNITS = (*"aA0 \n_$|*\\(é", "a ", "a\n", "0 ", "0.", "a,", "- ", "aA0 ", "<a>")
_SPOILERS = ("\x00", "\n\x00", "!")
_LONGEST_TRIED = 1024  # enough to tell quadratic time from worse
_GROWTH = 1.25  # of the length: time that doubles with every letter must not hang between two lengths
_LEAST_SECONDS = 0.02  # what is slower on a short text is worse than quadratic
_SHORTEST = 10
_STEEP = 2.4  # power of the length; what grows so is tried on longer texts as well
_ESCAPED = re.compile(r"\\(?:x(?=..)|u(?=.{4})|U(?=.{8}))([0-9A-Fa-f]{8}|[0-9A-Fa-f]{4}|[0-9A-Fa-f]{2})")
_BETWEEN_PASSAGES = re.compile(r"\(\?[^)]*?[:)=!]|\\[AbBdDsSwWZ]|\[\^?\]?[^\]]*\]|[.^$()|*+?]|\{[\d,]*\}")


def seen_by_rules(text: str) -> str:
    """The part of a text that written rules are run on: all of it, or its head and its tail on lines of their own."""
    if len(text) <= LONGEST:
        return text
    return text[:_HEAD] + "\n" + text[_HEAD + 1 - LONGEST :]


def slow_text(pattern: re.Pattern[str]) -> tuple[int, float] | None:
    """A length of text on which the pattern is too slow, with the seconds that it took; None if none was found.

    Takes some ten milliseconds for an ordinary pattern and seconds for the worst. Time is the processor's own: a loaded
    machine refuses no pattern.
    """
    texts = [(unit, spoiler) for unit in _units(pattern.pattern) for spoiler in _SPOILERS]
    before: dict[tuple[str, str], float] = {}
    length, last = _SHORTEST, 0
    while texts:
        now = {}
        for text in texts:
            seconds = now[text] = _seconds(pattern, *text, length)
            if seconds > max(_LEAST_SECONDS, _allowed(length)):
                return length, seconds
        if length >= _LONGEST_TRIED:
            steepest = (length / last) ** _STEEP
            # Too slow on the longest text if time goes on to grow like the cube
            texts = [
                text
                for text in texts
                if now[text] > max(before[text] * steepest, _allowed(length) * length / LONGEST) and length < LONGEST
            ]
        before, last = now, length
        length = int(length * (_GROWTH if length < 300 else 2)) + (length < _LONGEST_TRIED)
        length = min(length, _LONGEST_TRIED if last < _LONGEST_TRIED else LONGEST)
    return None


def _units(written: str) -> list[str]:
    """What texts are made of that may be slow: usual passages, and those of the pattern, one by one and joined."""
    plain = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), written)
    literals = list(dict.fromkeys(re.findall(r"[^\W_]+|[^\w\s]", plain)))[:12]
    passages = [re.sub(r"\\(.)", r"\1", each) for each in _BETWEEN_PASSAGES.split(plain) if each][:8]
    begun = ["".join(passages[:number]) for number in range(1, len(passages))]  # all but the last: no match
    return [*dict.fromkeys([*_UNITS, *literals, *(one + other for one in literals[:4] for other in " a0"), *begun])]


def _allowed(length: int) -> float:
    return MOST_SECONDS * (length / LONGEST) ** 2


def _seconds(pattern: re.Pattern[str], unit: str, spoiler: str, length: int) -> float:
    text = (unit * (length // len(unit) + 1))[: length - 2] + spoiler
    start = time.process_time()
    pattern.search(text)
    return time.process_time() - start
