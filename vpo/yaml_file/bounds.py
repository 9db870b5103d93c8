"""What a file of settings may cost and hold, seen before anything is made of it: it may come from anybody.

``yaml.safe_load`` runs nothing, but it takes lists that hold themselves, and a kilobyte whose aliases stand for
gigabytes. What no setting needs is refused: dates, sets and bytes (text without its quotes, mostly), characters that no
path may hold, whole numbers of more than 64 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MOST_BYTES = 2**20
_MOST_VALUES = 50_000  # with every alias written out
_DEEPEST = 32


def check_nodes(root: Any, path: Path) -> None:
    """Refuse what would become too large or endless.

    Args:
        root: The file's node, or None for an empty one.
        path: Of the file, for messages.

    Raises:
        ValueError: It stands for more values than settings have, or is nested more deeply.
    """
    import yaml

    waiting: list[tuple[Any, int]] = [] if root is None else [(root, 0)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise ValueError(
                f"{path} stands for more than {_MOST_VALUES} values, its aliases written out: expected settings. Write "
                "large lists into a file of data."
            )
        if depth > _DEEPEST:
            raise ValueError(
                f"{path}, line {node.start_mark.line + 1} is nested more than {_DEEPEST} levels deep, or holds itself: "
                "expected settings. Look at its anchors (&) and brackets."
            )
        if isinstance(node, yaml.SequenceNode):
            waiting += [(each, depth + 1) for each in node.value]
        elif isinstance(node, yaml.MappingNode):
            waiting += [(each, depth + 1) for pair in node.value for each in pair]


def check_values(content: Any, path: Path) -> None:
    """Refuse what is no plain value.

    Args:
        content: What was made of a file whose nodes were checked: a tree of bounded depth.
        path: Of the file, for messages.

    Raises:
        ValueError: It holds one.
    """
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            if "\0" in value or value.encode("utf-8", "replace").decode() != value:
                raise ValueError(f"{path} holds the text {value[:80]!r}: expected no null characters or half pairs.")
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**64:
                raise ValueError(
                    f"{path} holds a whole number of {value.bit_length()} bits: expected at most 64. Put it in quotes "
                    "if it is text."
                )
        elif not isinstance(value, (float, type(None))):
            raise ValueError(
                f"{path} holds a {type(value).__name__} ({value!r:.60}): expected text, numbers, lists or mappings. "
                "Put it in quotes if it is text."
            )
