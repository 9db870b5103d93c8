"""JSON schema (draft 2020-12) of the YAML that a dataclass, or a function's arguments, can be made from.

Types become types; ``Literal`` and enumerations become choices; a field without a default is required; the description
is the ``help`` of a field's metadata, else its line under ``Attributes`` or ``Args`` in the docstring.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

Schema = dict[str, Any]

# A command line's parser reads text as numbers, and YAML 1.1 takes 1e-6 for text
NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
WHOLE = r"^[-+]?\d+$"
TRUTH = r"^([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|[Nn]o|[tTfFyY1n0])$"


def schema_of(
    kind: type,
    *,
    from_text: bool = False,
    leave_out: Sequence[str] = (),
    own: Mapping[str, Schema] = types.MappingProxyType({}),
) -> Schema:
    """Schema of the fields of a dataclass, and of no others.

    Args:
        kind: The dataclass.
        from_text: Whether text that spells a number or a truth value will do as well, as for a command line's parser.
        leave_out: Fields that a file cannot set.
        own: Schemas that take the place of what the type says, by field.
    """
    hints, described = typing.get_type_hints(kind), _described(kind)
    properties: dict[str, Schema] = {}
    required = []
    for each in dataclasses.fields(kind):
        if not each.init or each.name in leave_out:
            continue
        schema = own[each.name] if each.name in own else schema_of_type(hints[each.name], from_text)
        text = each.metadata.get("help") or described.get(each.name)
        properties[each.name] = schema | ({"description": text} if text else {})
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            required.append(each.name)
        elif isinstance(each.default, bool | int | float | str):
            default = each.default.value if isinstance(each.default, enum.Enum) else each.default
            properties[each.name]["default"] = default
    return _object(properties, required)


def schema_of_arguments(function: Callable[..., Any], *, leave_out: Sequence[str] = ()) -> Schema:
    """Schema of what a function or a class takes by keyword.

    Args:
        function: Its arguments have annotations.
        leave_out: Arguments that a file cannot set.
    """
    constructor = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    hints, described = _hints(constructor), _described(function)
    properties: dict[str, Schema] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in leave_out or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        text = described.get(name)
        properties[name] = schema_of_type(hints.get(name, Any)) | ({"description": text} if text else {})
        if parameter.default is parameter.empty:
            required.append(name)
    return _object(properties, required)


def schema_of_type(hint: Any, from_text: bool = False) -> Schema:
    """Schema of the values of a type; anything at all where JSON has no such type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _union([schema_of_type(part, from_text) for part in parts])
    if origin is Literal:
        return {"enum": list(parts)}
    if origin in (list, tuple, Sequence):
        one = schema_of_type(parts[0], from_text) if parts else {}
        items: Schema = {"type": "array", **({"items": one} if one else {})}
        return _union([items, one]) if from_text and parts and parts[0] is str else items
    if origin in (dict, Mapping) or hint is dict:
        values = schema_of_type(parts[1], from_text) if parts else {}
        return {"type": "object", **({"additionalProperties": values} if values else {})}
    if isinstance(hint, type):
        return _of_class(hint, from_text)
    return {}


def spelt_out(value: Any, schema: Schema) -> Any:
    """A value of a schema made ``from_text``: text that spells a number or a truth value becomes what it spells.

    Args:
        value: Allowed by the schema.
        schema: Of `schema_of_type`.
    """
    if not isinstance(value, str):
        return value
    parts = schema.get("anyOf", [schema])
    if any(value in part.get("enum", ()) or part == {"type": "string"} for part in parts):
        return value
    for pattern, make in ((WHOLE, int), (NUMBER, float), (TRUTH, _truth)):
        if any(part.get("pattern") == pattern and re.search(pattern, value) for part in parts):
            return make(value)
    return value


def _truth(text: str) -> bool:
    return text[0] in "tTyY1"


def _of_class(kind: type, from_text: bool) -> Schema:
    if issubclass(kind, enum.Enum):
        return {"enum": [each.value for each in kind]}
    if dataclasses.is_dataclass(kind):
        return schema_of(kind, from_text=from_text)
    if kind in (str, Path):
        return {"type": "string"}
    numbers: dict[type, tuple[str, str]] = {
        bool: ("boolean", TRUTH),
        int: ("integer", WHOLE),
        float: ("number", NUMBER),
    }
    if kind in numbers:
        name, pattern = numbers[kind]
        return _union([{"type": name}, {"type": "string", "pattern": pattern}]) if from_text else {"type": name}
    return {"type": "null"} if kind is type(None) else {}


def _union(schemas: Sequence[Schema]) -> Schema:
    """Any of them; text of any kind takes the place of narrower text, and a choice that of the text beside it."""
    flat = [part for schema in schemas for part in schema.get("anyOf", [schema])]
    if {} in flat:
        return {}
    if any("enum" in part for part in flat):  # an enumeration `| str` means its values, spelt as text
        flat = [part for part in flat if part.get("type") != "string"]
    if {"type": "string"} in flat:
        flat = [part for part in flat if "pattern" not in part]
    kept = [part for i, part in enumerate(flat) if part not in flat[:i]]
    return kept[0] if len(kept) == 1 else {"anyOf": kept}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of arguments; of one whose type is imported for checkers alone nothing is known."""
    spaces = getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for name, hint in inspect.get_annotations(function).items():
        try:
            found[name] = typing.get_type_hints(types.SimpleNamespace(__annotations__={name: hint}), spaces)[name]
        except NameError:
            found[name] = Any
    return found


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _described(of: Any) -> dict[str, str]:
    """Name -> text of the entries under ``Attributes`` and ``Args`` of a docstring of Google's style."""
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in (inspect.getdoc(of) or "").splitlines():
        if line and not line.startswith(" "):
            inside, names = line.rstrip() in ("Attributes:", "Args:"), []
        elif inside and (match := re.match(r"    (\w[\w, ]*): (.*)", line)):
            names = [name.strip() for name in match[1].split(",")]
            found |= dict.fromkeys(names, match[2])
        elif inside and line.startswith("        "):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return found
