"""JSON schema of a comparison's file: what its dataclasses take, and the shorter ways to write it."""

from __future__ import annotations

from vpo.cli.search_compare.config import BEST_OF_N, Config, Policy, Problems
from vpo.yaml_file import Schema, schema_of


def comparison_schema() -> Schema:
    """JSON schema of the file."""
    text: Schema = {"type": "string", "minLength": 1}
    free: Schema = {"anyOf": [{"type": "object"}, {"type": "null"}]}  # an empty line under a key is nothing
    source = _one_of(text, schema_of(Problems, own={"options": free}))
    options = {"server": _one_of(text, free), "problem_options": free}
    policy = _one_of(text, schema_of(Policy, leave_out=["name"], own=options))
    number, whole = {"type": "number"}, {"type": "integer"}
    target = _one_of(number, {"enum": [BEST_OF_N]})
    search = _one_of({"type": "object", "properties": {"procedure": text}}, {"type": "null"})
    parts: dict[str, Schema] = {
        "problems": _one_of(source, {"type": "array", "items": source, "minItems": 1}),
        "policies": {"type": "object", "additionalProperties": policy},
        "procedures": _one_of(
            {"type": "array", "items": text}, {"type": "object", "additionalProperties": search}, {"type": "null"}
        ),
        "seeds": _one_of(whole, {"type": "array", "items": whole, "minItems": 1}),
        "references": _one_of({"type": "array", "items": text, "minItems": 1}, text, {"type": "null"}),
        "targets": _one_of({"type": "array", "items": target}, target),
    }
    schema = schema_of(Config, own=parts)
    return schema | {"required": ["problems", "policies", "budget"]}


def _one_of(*schemas: Schema) -> Schema:
    return {"anyOf": [part for schema in schemas for part in schema.get("anyOf", [schema])]}
