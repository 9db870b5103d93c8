"""Options of a part that is chosen by its name, as JSON schema: if the name is this, then the options are those.

Two ways to write such parts are in use: ``task: maze`` with ``task_options`` beside it, and ``{name: maze, ...}`` with
the options in the same mapping. Names that are not ours have options that nobody knows, and are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from vpo.yaml_file.fields import Schema


def beside(key: str, name: str | Schema, options_key: str, options: Schema) -> Schema:
    """A rule for options under a key of their own, which may be left empty.

    Args:
        key: Of the name.
        name: The name, or a schema of it.
        options_key: Of the options.
        options: Their schema.
    """
    written = {"anyOf": [*options.get("anyOf", [options]), {"type": "null"}]}
    return {"if": _is(key, name), "then": {"properties": {options_key: written}}}


def inside(key: str, name: str | Schema, options: Schema, *, is_default: bool = False) -> Schema:
    """A rule for options in the mapping that holds the name.

    Args:
        key: Of the name.
        name: The name, or a schema of it.
        options: Their schema.
        is_default: Whether the name holds where the key is left out.
    """
    properties = {key: {"type": "string"}, **options["properties"]}
    return {"if": _is(key, name, is_default), "then": {**options, "properties": properties}}


def ruled(schema: Schema, rules: Sequence[Schema]) -> Schema:
    """The schema, and the rules beside those that it has."""
    found = [*schema.get("allOf", ()), *rules]
    return {**schema, "allOf": found} if found else schema


def _is(key: str, name: str | Schema, is_default: bool = False) -> Schema:
    named = {"enum": [name]} if isinstance(name, str) else name
    return {"properties": {key: named}, **({} if is_default else {"required": [key]})}
