"""Valid inputs with a few things wrong: where a random byte is refused at the door, these get into the house.

A *document* is what JSON and YAML hold: dicts, lists, texts, numbers, booleans, None. An edit replaces, drops, moves,
repeats or buries a part of it. All choices are hypothesis's own, so a failure shrinks to the one edit that matters.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

LONG = "ab " * 40_000
TEXTS = (
    *("", " ", "\n", "\0", "x\0y", "\ud800", "é\u2028\x85", "{{ 7 * 7 }}", "%s%n", "-1", "NaN", "null"),
    *("..", "../..", "../../outside", "/etc/passwd", "~/x", "C:\\x", "name\nError: forged", "\x1b[2J", "[red]", LONG),
)
NUMBERS = (
    *(0, -1, 1, 2, 7, 255, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400, -(10**400)),
    *(0.0, -0.0, 0.5, -1.5, 1e-320, 1e300, -1e300, float("inf"), float("-inf"), float("nan")),
)


def nested(depth: int, kind: str = "list") -> Any:
    """A list in a list in a list, or the same of dicts."""
    found: Any = 1
    for _ in range(depth):
        found = [found] if kind == "list" else {"a": found}
    return found


PLAIN: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, {"a": 1}, ["a", "a"], [1, "a", None])
# Written into the text of JSON after it was made: what no document can hold
AS_TEXT = {
    "@@deep@@": "[" * 100_000,
    "@@just deep enough@@": "[" * 900 + "]" * 900,
    "@@deep objects@@": '{"a":' * 900 + "1" + "}" * 900,
    "@@many digits@@": "9" * 5000,
    "@@huge@@": "9" * 4000,
    "@@infinite@@": "1e999",
    "@@half a pair@@": '"\\ud800"',
    "@@twice@@": '{"a": 1, "a": 2}',
    "@@no value@@": "",
}

HOSTILE: tuple[Any, ...] = (*PLAIN, *TEXTS, *NUMBERS, nested(20), nested(20, "dict"), nested(100), nested(100, "dict"))

_OPERATIONS = ("replace", "replace", "replace", "drop", "repeat", "unknown", "swap", "wrap", "rename")


def json_text(document: Any) -> str:
    """JSON of a document in which names of ``AS_TEXT`` stand for what they name."""
    text = json.dumps(document)
    for name, raw in AS_TEXT.items():
        text = text.replace(json.dumps(name), raw)
    return text


def places(document: Any, most: int = 400) -> list[tuple[Any, ...]]:
    """Paths of all parts of a document, itself left out, the outermost first."""
    found: list[tuple[Any, ...]] = []
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), document)]
    while waiting and len(found) < most:
        path, part = waiting.pop(0)
        entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, value in entries:
            found.append((*path, key))
            waiting.append(((*path, key), value))
    return found


@st.composite
def mutated(draw: st.DrawFn, document: Any, hostile: Sequence[Any] = (), most: int = 3) -> Any:
    """``document`` with up to ``most`` edits; the original is left as it is.

    Args:
        draw: Hypothesis's.
        document: A valid input.
        hostile: Values of this border, beside those that all share.
        most: Most edits.
    """
    found = copy.deepcopy(document)
    values = st.sampled_from([*hostile, *HOSTILE])
    for _ in range(draw(st.integers(0, most))):
        paths = places(found)
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        parent = found
        for key in path[:-1]:
            parent = parent[key]
        _edit(draw, parent, path[-1], found, paths, values)
    return found


def _edit(draw: st.DrawFn, parent: Any, key: Any, whole: Any, paths: Sequence[Any], values: Any) -> None:
    operation = draw(st.sampled_from(_OPERATIONS))
    if operation == "drop":
        del parent[key]
    elif operation == "repeat" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif operation == "unknown" and isinstance(parent, dict):
        parent[draw(st.sampled_from([*TEXTS[:-1], "unknown", "__class__"]))] = copy.deepcopy(draw(values))
    elif operation == "rename" and isinstance(parent, dict):
        parent[draw(st.sampled_from([*TEXTS[:-1], "other"]))] = parent.pop(key)
    elif operation == "swap":
        other = whole
        for step in draw(st.sampled_from(paths)):
            other = other[step]
        parent[key] = copy.deepcopy(other)
    elif operation == "wrap":
        parent[key] = [parent[key]] if draw(st.booleans()) else {"a": parent[key]}
    else:
        parent[key] = copy.deepcopy(draw(values))


_PIECES = (b"\xff", b"\0", b"\n", b'"', b"\x80\x81", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 5000)


@st.composite
def garbled(draw: st.DrawFn, content: bytes, chance: int = 4) -> bytes:
    """``content``, one time in ``chance`` cut, with bytes exchanged, or with a piece taken out, put in or repeated."""
    if not content or draw(st.integers(0, chance - 1)):
        return content
    start = draw(st.integers(0, len(content) - 1))
    end = min(len(content), start + draw(st.sampled_from([1, 2, 8, 64, 1024])))
    piece = draw(
        st.sampled_from([b"\xff", b"\0", b"\n", b'"', b"\x80\x81", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 5000])
    )
    return draw(
        st.sampled_from([
            content[:start],
            content[:start] + content[end:],
            content[:start] + piece + content[end:],
            content[:start] + piece + content[start:],
            content[:end] + content[start:],
        ])
    )  # fmt: skip
