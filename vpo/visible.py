r"""Text of anybody, for a terminal: what would steer it is shown and not sent.

A completion, a name in a log or a key of a file may hold ESC and its kin, by which a terminal moves its cursor,
rewrites lines that were printed before, sets its title or its clipboard; and signs of Unicode that turn the order of
letters around (Boucher and Anderson, Trojan Source, arXiv 2111.00169) or are letters that nobody sees. Line feeds and
tabs stay.
"""

from __future__ import annotations

import json
import re

STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters of ASCII and of Latin-1, but for tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # which way text runs
    "\u2028\u2029"  # ends of lines that few programs count as such
    "\ud800-\udfff"  # halves of a pair, which no encoding holds
    "\U000e0000-\U000e007f]"  # tags: ASCII that is not drawn
)


def visible(text: str) -> str:
    r"""The text with every character that steers a terminal spelt out, as ``\x1b`` or ``\u202e``."""
    return STEERS.sub(lambda found: _spelt(found[0]), text)


def visible_json(text: str) -> str:
    r"""The same of a JSON document, spelt so that it stays one and means what it meant."""
    return STEERS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _spelt(character: str) -> str:
    return f"\\x{ord(character):02x}" if character.isascii() else character.encode("ascii", "backslashreplace").decode()
