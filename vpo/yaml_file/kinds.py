"""Which command a file is for, told by its keys: for the message when it was given to another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpo.yaml_file.fields import Schema

# Keys that a file of the kind has nearly always, and files of no other kind have together.
_MARKS: dict[str, frozenset[str]] = {
    "a file of `vpo pipeline`": frozenset({"model", "train"}),
    "a file of `vpo search compare`": frozenset({"problems", "policies"}),
    "a file of `vpo search run`": frozenset({"problem", "sampler"}),
    "a recipe of `vpo train` and `vpo compare`": frozenset({"model_name_or_path"}),
    "a configuration of `accelerate launch`": frozenset({"compute_environment"}),
}


def other_kind(content: Any, schema: Schema) -> str | None:
    """What a file is that was written for another command.

    Args:
        content: Of the file.
        schema: Of the kind that was wanted.

    Returns:
        Its kind in words; None if it is of the wanted kind, or of none that is known.
    """
    known = schema.get("properties", {})
    if not isinstance(content, Mapping) or not known:
        return None
    for kind, marks in _MARKS.items():
        if marks <= content.keys() and not marks & known.keys():
            return kind
    return None
