"""Answers that a scorer must survive: empty, huge, broken tags, control characters, halves of surrogate pairs.

A policy in training writes all of these sooner or later, and an exception ends the run. Where a task has a reference
answer, its own tags are filled with what parsers trip over, so that the inner layers are reached as well.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

HUGE = 1_000_000  # characters; far beyond any completion
_TAG = re.compile(r"<(\w+)>")
_FILLINGS = {
    "nothing": "",
    "white space": " \t\r\n",
    "control characters": "\x00\x01\x1b[31m\x7f\u200b\u202e\ufeff",
    "half a surrogate pair": "\ud800 \udfff",
    "bytes that are no UTF-8": b"\xff\xfe\x80caf\xe9".decode("utf-8", "surrogateescape"),
    "digits that are none": "², ٣, ①, ४",
    "a number of 5,000 digits": "9" * 5_000,
    "numbers that are none": "NaN, Infinity, -Infinity, 1e999, 0x10, 1_000",
    "JSON of another shape": '[null, true, {"name": [], "parameters": 7}, "text", 1e999]',
    "an object of another shape": '{"name": {"a": 1}, "parameters": [[1], {"b": null}]}',
    "100,000 brackets": "[" * 100_000,
    "100,000 objects": '{"a":' * 100_000,
    "null": "null",
    "a code block in a code block": "```python\n```python\n```\nprint('```')",
}


def hostile_answers(tag: str, references: Sequence[str] = ()) -> dict[str, str]:
    """Answers by a name that says what is wrong with them.

    Args:
        tag: The task's answer tag.
        references: Good answers; without any only what needs none is given.
    """
    answers = dict(_FILLINGS)
    answers |= {
        "1 MB of one word": "a" * HUGE,
        "1 MB of words": "a the 1 " * (HUGE // 8),
        "1 MB of white space": " " * HUGE,
        f"10,000 <{tag}_1> in each other": f"<{tag}_1>" * 10_000 + f"</{tag}_1>" * 10_000,
    }
    for reference in references[:1]:
        tags = list(dict.fromkeys(_TAG.findall(reference)))
        for what, filling in _FILLINGS.items():
            answers[f"each tag filled with {what}"] = "".join(f"<{name}>{filling}</{name}>" for name in tags)
        openings = "".join(f"<{name}>" for name in tags) or f"<{tag}_1>"
        closings = openings.replace("<", "</")
        count = HUGE // len(openings)
        answers |= {
            "1 MB of opening tags": openings * count,
            "1 MB of closing tags": closings * (HUGE // len(closings)),
            "1 MB of pairs of tags": (openings + closings) * (HUGE // len(openings + closings)),
            "closing tags before opening ones": closings + reference + openings,
            "a good answer in its own answer tags": f"<{tag}_1>{reference}</{tag}_1>",
            "a good answer many times": reference * (HUGE // max(len(reference), 1)),
            "a good answer behind 1 MB of text": "a " * (HUGE // 2) + reference,
            "a good answer with null characters": "\x00".join(reference),
            "a good answer cut in the middle": reference[: len(reference) // 2],
            "a good answer with huge numbers": re.sub(r"\d+", "9" * 5_000, reference),
            "a good answer with half a surrogate pair": reference.replace(">", ">\ud83d", 1) + "\udc00",
        }
    return answers


def damaged(reference: str, others: Sequence[str], rng: random.Random) -> str:
    """A reference answer with some of its words exchanged for words of others; its tags stay.

    Args:
        reference: A good answer.
        others: Good answers to other rows, where the words come from.
        rng: Draws how many words and which.
    """
    parts = re.split(r"(<[^<>]*>|\W)", reference)
    words = [i for i, part in enumerate(parts) if part.strip() and not re.fullmatch(r"<[^<>]*>|\W", part)]
    pool = [word for other in others for word in re.findall(r"\w+", re.sub(r"<[^<>]*>", " ", other))] or ["other"]
    for place in rng.sample(words, rng.randint(0, len(words))):
        parts[place] = rng.choice(pool)
    return "".join(parts)
