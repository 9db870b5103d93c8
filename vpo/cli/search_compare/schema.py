"""JSON schema of a comparison's file: what its dataclasses take, and the shorter ways to write it."""

from __future__ import annotations

from vpo.cli.search.options import problem_names, problem_options, procedure_options
from vpo.cli.search_compare.config import BEST_OF_N, Config, Policy, Problems
from vpo.yaml_file import Schema, beside, inside, ruled, schema_of


def comparison_schema() -> Schema:
    """JSON schema of the file."""
    text: Schema = {"type": "string", "minLength": 1}
    free: Schema = {"anyOf": [{"type": "object"}, {"type": "null"}]}  # an empty line under a key is nothing
    rules = [beside("name", written, "options", problem_options(name)) for written, name in problem_names()]
    source = _one_of(text, ruled(schema_of(Problems, own={"options": free}), rules))
    options = {"server": _one_of(text, free), "problem_options": free}
    policy = _one_of(text, schema_of(Policy, leave_out=["name"], own=options))
    number, whole = {"type": "number"}, {"type": "integer"}
    target = _one_of(number, {"enum": [BEST_OF_N]})
    parts: dict[str, Schema] = {
        "problems": _one_of(source, {"type": "array", "items": source, "minItems": 1}),
        "policies": {"type": "object", "additionalProperties": policy},
        "procedures": _one_of({"type": "array", "items": text}, _procedures(), {"type": "null"}),
        "seeds": _one_of(whole, {"type": "array", "items": whole, "minItems": 1}),
        "references": _one_of({"type": "array", "items": text, "minItems": 1}, text, {"type": "null"}),
        "targets": _one_of({"type": "array", "items": target}, target),
    }
    schema = schema_of(Config, own=parts)
    return schema | {"required": ["problems", "policies", "budget"]}


def _procedures() -> Schema:
    """Searches by the name that tables give them, which is the procedure's unless they say otherwise."""
    from search.procedures.registry import PROCEDURES

    options = {name: procedure_options(name) for name in PROCEDURES}
    any_of_them: Schema = {"type": "object", "properties": {"procedure": {"type": "string", "minLength": 1}}}
    named = {
        key: [inside("procedure", name, each, is_default=name == key) for name, each in options.items()]
        for key in (*options, "")
    }
    return {
        "type": "object",
        "properties": {name: _one_of(ruled(any_of_them, named[name]), {"type": "null"}) for name in options},
        "additionalProperties": _one_of(ruled(any_of_them, named[""]), {"type": "null"}),
    }


def _one_of(*schemas: Schema) -> Schema:
    return {"anyOf": [part for schema in schemas for part in schema.get("anyOf", [schema])]}
