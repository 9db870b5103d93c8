"""Text as question answering compares it: what stands in a tag, normalisation, F1 of words.

Everything here takes any text in time linear in its length: answers come from a model, and some are a megabyte of
opening tags, on which a lazy regular expression would never return.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Literal

Normalization = Literal["squad", "released"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def between(text: str, opening: str, closing: str) -> str | None:
    """What stands between the first ``opening`` and the first ``closing`` after it, stripped; None without both."""
    start = text.find(opening)
    if start < 0:
        return None
    start += len(opening)
    end = text.find(closing, start)
    return None if end < 0 else text[start:end].strip()


def normalize(text: str, articles: Normalization | None = "squad") -> str:
    """Lower case, without punctuation, articles and surplus white space.

    Args:
        text: Any text.
        articles: When the words a, an, the go: "squad" after the punctuation, as the SQuAD evaluation script does
            ("U.S.A." is "usa"); "released" before it, as the VPO authors' code does ("U.S.A." is "us"). None keeps
            them.
    """
    text = text.lower()
    if articles == "released":
        text = _ARTICLES.sub(" ", text)
    text = text.translate(_NO_PUNCTUATION)
    if articles == "squad":
        text = _ARTICLES.sub(" ", text)
    return " ".join(text.split())


def multiset_f1(found: Iterable[Hashable], wanted: Iterable[Hashable]) -> float:
    """F1 of two bags; 1 where both are empty."""
    ours, theirs = Counter(iter(found)), Counter(iter(wanted))  # of a dict: its keys, not counts
    if not ours and not theirs:
        return 1.0
    overlap = (ours & theirs).total()
    return 2 * overlap / (ours.total() + theirs.total())  # the harmonic mean of overlap/ours and overlap/theirs


def word_f1(found: str, wanted: str, articles: Normalization | None = "squad") -> float:
    """F1 of the words of two texts after `normalize`; 1 where neither has any."""
    return multiset_f1(normalize(found, articles).split(), normalize(wanted, articles).split())
