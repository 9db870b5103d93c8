"""Settings against a JSON schema, with messages for people: file, line, key, what was expected, the nearest key.

The part of JSON Schema that our schemas use: type, enum, anyOf, properties, required, additionalProperties, items,
minItems, minLength, pattern, and allOf of rules with if and then. Stricter in one point: 3.0 is no whole number, as
Python's settings are not given one then.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from vpo.yaml_file.fields import Schema
from vpo.yaml_file.kinds import other_kind
from vpo.yaml_file.reading import Place, YamlFile

_MOST_SHOWN = 10
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "null": (lambda value: value is None, "nothing"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "integer": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "number": (lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"),
    "string": (lambda value: isinstance(value, str), "text"),
    "array": (lambda value: isinstance(value, list), "a list"),
    "object": (lambda value: isinstance(value, dict), "keys and values"),
}


def check(file: YamlFile, schema: Schema) -> None:
    """Refuse a file that the schema does not allow.

    Raises:
        ValueError: Names up to ten mistakes, a line each; or says that the file is for another command.
    """
    if kind := other_kind(file.content, schema):
        raise ValueError(f"{file.path} is {kind}: expected one of this command's. Give it to that one.")
    if found := mistakes(file.content, schema, file.where):
        more = [f"... and {len(found) - _MOST_SHOWN} more"] if len(found) > _MOST_SHOWN else []
        raise ValueError("\n".join([*found[:_MOST_SHOWN], *more]))


def mistakes(
    value: Any, schema: Schema, where: Callable[[Place], str] = lambda place: "settings", place: Place = ()
) -> list[str]:
    """What the schema does not allow, a message each.

    Args:
        value: Plain values, as YAML gives them.
        schema: What is allowed.
        where: Says where a place is, as :meth:`YamlFile.where`.
        place: Place of ``value``.
    """
    if "anyOf" in schema:
        return _any_of(value, schema, where, place)
    kind = schema.get("type")
    if kind is not None and not _KINDS[kind][0](value):
        return [_unexpected(value, schema, where, place)]
    if "enum" in schema and not any(value == each and type(value) is type(each) for each in schema["enum"]):
        return [_unexpected(value, schema, where, place)]
    if isinstance(value, str) and (
        len(value) < schema.get("minLength", 0) or not re.search(schema.get("pattern", ""), value)
    ):
        return [_unexpected(value, schema, where, place)]
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            return [_unexpected(value, schema, where, place)]
        items = schema.get("items", {})
        return [each for i, item in enumerate(value) for each in mistakes(item, items, where, (*place, i))]
    if isinstance(value, dict):
        return _mapping(value, schema, where, place)
    return []


def _any_of(value: Any, schema: Schema, where: Callable[[Place], str], place: Place) -> list[str]:
    found = [(each, mistakes(value, each, where, place)) for each in schema["anyOf"]]
    if any(not wrong for _, wrong in found):
        return []
    if isinstance(value, dict | list):  # of the right kind, and wrong further down: say where
        for each, wrong in found:
            if each.get("type") in ("array", "object") and _KINDS[each["type"]][0](value):
                return wrong
    return [_unexpected(value, schema, where, place)]


def _mapping(value: Mapping[Any, Any], schema: Schema, where: Callable[[Place], str], place: Place) -> list[str]:
    found = []
    known: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for key, each in value.items():
        here = (*place, key)
        if not isinstance(key, str):
            found.append(f"{where(place)}: the key {key!r} is no text: expected a name. Put it in quotes.")
        elif key in known:
            found += mistakes(each, known[key], where, here)
        elif others is False:
            found.append(f"{where(here)}: there is no setting {_spelt(here)!r}: {_instead(key, list(known), place)}")
        elif isinstance(others, dict):
            found += mistakes(each, others, where, here)
    missing = [key for key in schema.get("required", ()) if key not in value]
    if missing:
        what = f"{_spelt(place)} lacks" if place else "it lacks"
        found.append(f"{where(place)}: {what} {', '.join(missing)}: expected a value. Add `{missing[0]}: ...`.")
    for rule in schema.get("allOf", ()):
        if not mistakes(value, rule["if"]):
            found += [each for each in mistakes(value, rule["then"], where, place) if each not in found]
    return found


def _instead(key: str, known: list[str], place: Place) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"expected a known one. Did you mean {near[0]}?"
    if len(known) <= 20:
        return f"expected {_listed(known)}." if known else "expected none here. Delete it."
    return "expected a known one, and none is spelt like it. `vpo schema` prints all, for an editor to offer."


def _unexpected(value: Any, schema: Schema, where: Callable[[Place], str], place: Place) -> str:
    message = f"{where(place)}: {_spelt(place)} is {_shown(value)}: expected {_wanted(schema)}."
    choices = [each for one in schema.get("anyOf", [schema]) for each in one.get("enum", ())]
    texts = any(one.get("type") == "string" and "pattern" not in one for one in schema.get("anyOf", [schema]))
    if isinstance(value, bool) and ("no" if value is False else "yes") in choices:
        return f"{message} Put it in quotes, as 'no': YAML takes a bare no for false."
    if isinstance(value, str) and (near := difflib.get_close_matches(value, [str(c) for c in choices], n=1)):
        return f"{message} Did you mean {near[0]!r}?"
    if texts and isinstance(value, bool | int | float):
        return f"{message} Put it in quotes."
    return message


def _wanted(schema: Schema) -> str:
    if "anyOf" in schema:
        parts = [_wanted(each) for each in schema["anyOf"] if "pattern" not in each and each.get("type") != "null"]
        return _listed(list(dict.fromkeys(parts)))
    if "enum" in schema:
        return _listed([repr(each) for each in schema["enum"]])
    kind = schema.get("type", "")
    if kind == "array":
        least = " with one entry at least" if schema.get("minItems") else ""
        return f"a list{least}" + (f", each {_wanted(schema['items'])}" if schema.get("items") else "")
    if kind == "object":
        names = list(schema.get("required") or schema.get("properties", {}))[:3]
        return "keys and values under it" + (f", as `{names[0]}: ...`" if names else "")
    return _KINDS[kind][1] if kind in _KINDS else "something else"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _spelt(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "it"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return "keys and values" if isinstance(value, dict) else "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
