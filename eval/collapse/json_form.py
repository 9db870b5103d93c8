"""Records to JSON and back, checked: a report of another version is refused by the name of the field, not misread."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any


def to_json(record: Any, indent: int | None = None) -> str:
    """JSON of any record here; NaN and infinity are an error, for they have no JSON."""
    return json.dumps(asdict(record), ensure_ascii=False, allow_nan=False, indent=indent)


def from_json(kind: type[Any], text: str) -> Any:
    """Inverse of :func:`to_json`.

    Raises:
        ValueError: No JSON, or not the fields of ``kind``; the message names the field.
    """
    return _built(kind, json.loads(text), kind.__name__)


def _built(kind: Any, value: Any, place: str) -> Any:
    """A value of the annotated kind, from what JSON holds."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{place} is {type(value).__name__}: expected an object.")
        hints = typing.get_type_hints(kind)
        if unknown := sorted(value.keys() - hints.keys()):
            raise ValueError(f"{place} has unknown fields {unknown}: it was written by another version.")
        missing = [f.name for f in dataclasses.fields(kind) if f.name not in value and _is_required(f)]
        if missing:
            raise ValueError(f"{place} lacks {missing}: it was written by another version, or cut.")
        return kind(**{name: _built(hints[name], value[name], f"{place}.{name}") for name in value})  # type: ignore[operator]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _built(next(a for a in arguments if a is not type(None)), value, place)
    if origin is list and isinstance(value, list):
        return [_built(arguments[0], each, f"{place}[{i}]") for i, each in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {key: _built(arguments[1], each, f"{place}.{key}") for key, each in value.items()}
    if origin is typing.Literal and value in arguments:
        return value
    if (
        kind is Any
        or (kind is float and type(value) in (int, float))
        or (isinstance(kind, type) and type(value) is kind)
    ):
        return value
    raise ValueError(f"{place} is {value!r:.60}: expected {kind}.")


def _is_required(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
