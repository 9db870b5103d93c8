"""The JSON schema of ``report.json``, made from the records themselves: fields, kinds, and their documentation.

``python -m eval.collapse.schema`` writes ``eval/schemas/collapse_report.schema.json``, which other programs can hold a
report against (JSON Schema, draft 2020-12); a test keeps it in step with the code.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from pathlib import Path
from typing import Any

from eval.collapse.run_report import SCHEMA_VERSION, CollapseReport

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "schemas" / "collapse_report.schema.json"
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Any: {},
}


def collapse_schema() -> dict[str, Any]:
    """The schema of a :class:`CollapseReport` as JSON."""
    definitions: dict[str, Any] = {}
    _of(CollapseReport, definitions)
    report = definitions.pop(CollapseReport.__name__)
    report["properties"]["schema_version"] = {"const": SCHEMA_VERSION, "description": "Of this form."}
    # json_form writes every field, but reads a report that leaves those with a default out: so does the schema.
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Format-diversity report",
        **report,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(collapse_schema(), indent=1, ensure_ascii=False) + "\n"


def _of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of an annotated kind; records go to ``definitions`` and are referred to."""
    if dataclasses.is_dataclass(kind):
        name = kind.__name__  # type: ignore[union-attr]
        if name not in definitions:
            definitions[name] = {}  # a record that holds its own kind finds it here
            definitions[name] |= _record(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if each is type(None) else _of(each, definitions) for each in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)}
    return dict(_PLAIN[kind])


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, told = typing.get_type_hints(kind), _attributes(kind)
    properties = {}
    required = []
    for field in dataclasses.fields(kind):
        properties[field.name] = _of(hints[field.name], definitions)
        if field.name in told:
            properties[field.name]["description"] = told[field.name]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    summary = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return {
        "description": " ".join(summary.split()),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _attributes(kind: Any) -> dict[str, str]:
    """Field -> its sentence in the class's docstring (Google style)."""
    _, _, listed = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", listed, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
