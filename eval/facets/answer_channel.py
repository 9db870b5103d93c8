"""Where a text puts its answer: in a box, after four hashes, in a tag, in a phrase, in a return, as the last number.

Four hashes and a blank are a heading in Markdown as well: they are an answer if a number stands there alone, or if
nothing comes after that line.

RL may keep the format of the working and still move all answers to one channel, and a grader that reads one channel
only sees that as progress. Only the place is looked at, never whether anything right stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from eval.facets.masking import FOUR_HASHES, LONGEST
from eval.facets.remembered import Remembered
from eval.samples import Samples

# In order of precedence: the more explicit the mark, the earlier. First a passage that must be there, for speed.
_CHANNELS: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("boxed", "\\", re.compile(r"\\(?:boxed|fbox)\b")),
    ("hashes", "####", re.compile(rf"^[ \t]*+####(?!#)(?:{FOUR_HASHES}|[ \t]*\S[^\n]*+\s*+\Z)", re.MULTILINE)),
    ("tag", "<", re.compile(r"</?(?:answer|final_answer|final|result|solution)(?:_\d{1,4})?>", re.IGNORECASE)),
    ("json key", '"', re.compile(r"\"(?:final_)?(?:answer|result|solution)\"\s{0,20}:", re.IGNORECASE)),
    (
        "phrase",
        "",
        re.compile(r"\banswer\b(?:[ ]++\w++){0,3}?[* \t]*+(?:\bis\b|[:=])|\banswer[* \t]*+\n[ \t]*+\S", re.IGNORECASE),
    ),
    ("code", "", re.compile(r"^[ \t]*+(?:return\b(?![ ]+(?:to|the)\b)|print\()|^[ \t]*+def\b.{0,400}\breturn\b", re.M)),
    ("last number", "", re.compile(r"\d")),
)
CHANNELS: tuple[str, ...] = ("empty", *(name for name, *_ in _CHANNELS), "none")
"""Every label, in order of precedence."""


def answer_channel(text: str) -> str:
    r"""The most explicit channel that a text has.

    >>> answer_channel("So the answer is \\boxed{4}.")
    'boxed'

    Args:
        text: Any; of more than :data:`~eval.facets.masking.LONGEST` characters the last ones are looked at, for answers
            come last.
    """
    if not text or text.isspace():
        return "empty"
    end = text[-LONGEST:]
    for name, needle, pattern in _CHANNELS:
        if needle in end and pattern.search(end):
            return name
    return "none"


class AnswerFacet:
    """Answer channel, see :func:`answer_channel`."""

    name = "answer"
    description = "Where the answer stands: box, hashes, tag, JSON key, phrase, code, last number"

    def __init__(self) -> None:
        self._channels = Remembered(_channels)

    def fit(self, reference: Samples) -> None:
        """Nothing to fit."""

    def labels(self, samples: Samples) -> list[str]:
        """N channels, of :data:`CHANNELS`."""
        return self._channels(samples.texts)

    def state(self) -> dict[str, Any]:
        """{}: rules have none."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to take up."""


def _channels(texts: list[str]) -> list[str]:
    return [answer_channel(text) for text in texts]
