"""The options of our tasks as JSON schema, from the fields of their classes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from vpo.tasks import HOME, list_tasks
from vpo.yaml_file import Schema, schema_of

_TEXT: Schema = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_FAMILY: Schema = {"type": "string", "pattern": "^reasoning_gym(:|$)"}


def task_options(name: str) -> Schema:
    """Schema of the options of a task of this package.

    Args:
        name: Of `list_tasks`.
    """
    home, kind = HOME[name]
    # A runner is named in a file; a generator is named with the task, as reasoning_gym:countdown
    own = {"runner": _TEXT} if name == "code" else {}
    return schema_of(getattr(import_module(home), kind), leave_out=["generator"], own=own)


def named_tasks() -> Iterator[tuple[str | Schema, str]]:
    """Every task: how its name is written, and the name that `task_options` takes."""
    for name in list_tasks():
        yield (_FAMILY if name == "reasoning_gym" else name), name
