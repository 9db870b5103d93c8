"""Tool calls in an answer: ``<tool_call>`` with JSON objects, each with a name and parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vpo.tasks.texts import between

_SEPARATORS = " \t\r\n,"


@dataclass(frozen=True)
class ToolCall:
    """One call.

    Attributes:
        name: Of the tool.
        parameters: Values by parameter name.
    """

    name: str
    parameters: dict[str, Any]


def calls_section(text: str) -> str | None:
    """What stands in the first ``<tool_call>``; None without it."""
    return between(text, "<tool_call>", "</tool_call>")


def read_calls(section: str) -> list[ToolCall]:
    """Calls of a section, leniently, as the VPO authors read it: objects one after the other, or a JSON array of them.

    Reading ends at the first thing that is no JSON object. Parameters may also be called arguments.
    """
    try:
        found = json.loads(section) if section.startswith("[") else _objects(section)
    except (ValueError, RecursionError):
        return []
    calls = []
    for entry in found:
        if isinstance(entry, dict):
            name, parameters = entry.get("name"), entry.get("parameters", entry.get("arguments"))
            calls.append(
                ToolCall(name if isinstance(name, str) else "", parameters if isinstance(parameters, dict) else {})
            )
    return calls


def read_lines(section: str) -> list[ToolCall] | None:
    """Calls of a section, strictly, as ToolRL's scorer reads it: one JSON object with both fields a line; else None."""
    calls = []
    for line in section.split("\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(entry, dict):
            return None
        name, parameters = entry.get("name"), entry.get("parameters")
        if not isinstance(name, str) or not isinstance(parameters, dict):
            return None
        calls.append(ToolCall(name, parameters))
    return calls


def _objects(text: str) -> list[Any]:
    decoder = json.JSONDecoder()
    found: list[Any] = []
    position = 0
    while True:
        while position < len(text) and text[position] in _SEPARATORS:
            position += 1
        if not text.startswith("{", position):
            return found
        try:
            entry, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return found
        found.append(entry)
