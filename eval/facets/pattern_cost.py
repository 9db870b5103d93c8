"""Does a pattern take too long on some text? Tried out before it is used, for Python's `re` cannot be interrupted.

A nested repetition such as ``(a+)+$`` takes time that doubles with every letter, and one completion would stop a
training run. A pattern is run on repetitions of what it is made of, with an end that spoils the match, at lengths that
grow step by step; the first on which it is too slow refuses the pattern, long before it would hang. Quadratic time
passes, for most patterns that begin with a repetition take it: two seconds at most on the longest text that rules see.
This finds the usual mistakes; it is no proof. Two more guards: rules see at most :data:`LONGEST` characters, and no
text that repeats one passage to the end, which is ``degenerate`` before any rule.
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
    literals = list(dict.fromkeys(re.findall(r"[A-Za-z0-9]+|[^\w\s]", pattern.pattern)))[:12]
    units = [*dict.fromkeys([*_UNITS, *literals, *(first + second for first in literals[:4] for second in " a0")])]
    length = _SHORTEST
    while True:
        allowed = max(_LEAST_SECONDS, MOST_SECONDS * (length / LONGEST) ** 2)
        for unit in units:
            body = (unit * (length // len(unit) + 1))[: length - 2]
            for spoiler in _SPOILERS:
                start = time.process_time()
                pattern.search(body + spoiler)
                seconds = time.process_time() - start
                if seconds > allowed:
                    return length, seconds
        if length >= _LONGEST_TRIED:
            return None
        length = min(_LONGEST_TRIED, int(length * (_GROWTH if length < 300 else 2)) + 1)
