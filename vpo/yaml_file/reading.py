"""A YAML file as plain values, and the line of every key in it.

PyYAML keeps the last of two equal keys and says nothing; here they are refused, as one of them is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpo.yaml_file.bounds import MOST_BYTES, check_nodes, check_values

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """What stands in a file.

    Attributes:
        path: The file.
        content: Its keys and values.
        lines: Place of a key or an item, as ``("budget", "max_answers")`` -> its line, from 1. What stands under an
            alias has the line of the alias.
    """

    path: Path
    content: dict[str, Any]
    lines: Mapping[Place, int] = field(default_factory=dict)

    def where(self, place: Place = ()) -> str:
        """File and line of a place, or of the innermost place around it that has a line."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return f"{self.path}, line {self.lines[place[:length]]}"
        return str(self.path)

    def placed(self, error: ValueError) -> ValueError:
        """The error with the lines of the keys that its message names, for what only shows when settings are used."""
        message = str(error)
        named = [key for key in self.content if re.search(rf"(?<![\w.-]){re.escape(str(key))}(?![\w-])", message)]
        lines = ", ".join(f"{key} in line {self.lines[key,]}" for key in named if (key,) in self.lines)
        return ValueError(f"{self.path}: {message}" + (f" (Set there: {lines}.)" if lines else ""))


def read_yaml(path: Path) -> YamlFile:
    """Read a file of keys and values.

    Raises:
        ValueError: It is not UTF-8, no YAML, no mapping, or beyond the bounds of settings; or a key stands in it twice.
        OSError: It cannot be read.
    """
    import yaml

    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{path} is longer than {MOST_BYTES} bytes: expected a file of settings. Check the path.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): expected text. Save it as UTF-8.") from error
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        check_nodes(root, path)
        lines: dict[Place, int] = {}
        if root is not None:
            _note(root, (), lines, set(), path)
        content = None if root is None else _made(loader, root)
        check_values(content, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ValueError(f"{place}: this is not YAML ({said}): expected keys and values, as `seed: 0`.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is not YAML: expected keys and values, as `seed: 0`. {error}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise ValueError(f"{path} holds {found}: expected keys and values, as `seed: 0`.")
    return YamlFile(path, content, lines)


def _made(loader: Any, root: Any) -> Any:
    try:
        return loader.construct_document(root)
    # A date that is none, a number without digits: PyYAML's own code stumbles over them in these ways
    except (TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"A value cannot be read ({error}): put it in quotes if it is text.") from error


def _note(node: Any, place: Place, lines: dict[Place, int], seen: set[int], path: Path) -> None:
    """Write down the lines below a node; every node once, as aliases may name one very often."""
    import yaml

    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*place, index)] = item.start_mark.line + 1
            _note(item, (*place, index), lines, seen, path)
    elif isinstance(node, yaml.MappingNode):
        first: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in first:
                    raise ValueError(
                        f"{path}, line {line}: the key {key.value!r} stands there a second time, after line "
                        f"{first[key.tag, key.value]}: expected every key once. Delete one of the two."
                    )
                first[key.tag, key.value] = line
                lines[(*place, key.value)] = line
                _note(value, (*place, key.value), lines, seen, path)
            else:
                _note(value, place, lines, seen, path)
