"""What a ledger's lines must hold before anything is made of them: a ledger may come from anybody.

A line is checked when it is read, so that what is wrong is named with its line; what only several lines together can
tell (an evaluation without its completion, a parent that comes later) is for ``search.fold``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from search.outcomes import answer_key

_Test = Callable[[Any], bool]


class LedgerError(ValueError):
    """A ledger cannot be used: damaged, in use, or written by another run."""


def read_line(line: bytes) -> Any:
    """JSON of one line; no numbers that are none.

    Raises:
        ValueError: It is no JSON, or nested too deeply for it.
    """
    try:
        return json.loads(line, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_header(header: Any) -> None:
    """Check the first line.

    Raises:
        ValueError: Something is missing or of the wrong kind.
    """
    _check(header, {"format": _whole, "config_hash": _text, "config": _mapping}, "the header")


def check_config(config: Any) -> None:
    """Check the header's configuration, as a search writes it.

    Raises:
        ValueError: Something is missing or of the wrong kind.
    """
    fields: dict[str, _Test] = {"problems": _list, "mode": _text, "ordered": _flag, "target": _number_or_none}
    _check(config, fields, "the header's config")
    for problem in config["problems"]:
        _check(problem, {"id": _text}, "a problem of the header")
    if "screen" in config and not isinstance(config["screen"], dict):
        raise ValueError("the header's screen is no mapping")


def check_row(row: Any, problems: frozenset[str] | None) -> None:
    """Check any other line.

    Args:
        row: What was read.
        problems: Ids that the header names; None does not look.

    Raises:
        ValueError: Something is missing or of the wrong kind.
    """
    kind = row.get("kind") if isinstance(row, dict) else None
    if not isinstance(kind, str) or kind not in _ROWS:
        raise ValueError(f"it is of no kind that a ledger has: {', '.join(_ROWS)}")
    _check(row, _ROWS[kind], f"the {kind}")
    if problems is not None and row["problem"] not in problems:
        raise ValueError(f"it is of the problem {row['problem'][:80]!r}, which the header does not name")
    for answer in row.get("answers", ()):
        _check(answer, _ANSWER, "an answer")
        if not isinstance(answer.get("key", ""), str):
            raise ValueError(f"an answer has key {answer['key']!r:.60}")
    if "screen" in row:
        _check_decisions(row)


def _check_decisions(row: Mapping[str, Any]) -> None:
    if not isinstance(row["screen"], list):
        raise ValueError("the screen's decisions are no list")
    evaluated = {each.get("key") or answer_key(each["answer"]) for each in row.get("answers", ())}
    for decision in row["screen"]:
        _check(decision, _DECISION, "a decision of the screen")
        if not (isinstance(decision["answer"], str) if "answer" in decision else decision["key"] in evaluated):
            raise ValueError("a decision of the screen is of no answer")


def check_rows(rows: Sequence[Any], path: object, problems: Iterable[str] | None = None) -> None:
    """Check all lines behind the header.

    Args:
        rows: What was read.
        path: Of the file, for messages.
        problems: Ids of the problems that there are; None leaves it to whoever looks a line's problem up.

    Raises:
        LedgerError: A line is not what a search writes.
    """
    known = None if problems is None else frozenset(problems)
    for number, row in enumerate(rows, start=2):
        try:
            check_row(row, known)
        except ValueError as error:
            raise not_written(path, number, error) from None


def not_written(path: object, number: int, error: ValueError) -> LedgerError:
    """The error for a line that no search writes."""
    return LedgerError(
        f"{path}, line {number} was not written by a search: {error}. Restore the file from a copy, or delete it to "
        "start anew."
    )


def _check(part: Any, fields: Mapping[str, _Test], what: str) -> None:
    if not isinstance(part, dict):
        raise ValueError(f"{what} is {type(part).__name__}, not a mapping")
    for name, fits in fields.items():
        if name not in part:
            raise ValueError(f"{what} lacks {name!r}")
        if not fits(part[name]):
            raise ValueError(f"{what} has {name} {part[name]!r:.60}")


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _whole(value: Any) -> bool:
    return type(value) is int and -(2**64) < value < 2**64


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _number(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or _whole(value)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_count, value))


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value))


def _wall(value: Any) -> bool:
    return isinstance(value, dict) and "at" in value and all(map(_number, value.values()))


_ANSWER: dict[str, _Test] = {
    "answer": _text,
    "vector": lambda value: _numbers(value) and bool(value),
    "scalar": _number,
    "status": _text,
    "artifact": _text,
}
_DECISION: dict[str, _Test] = {
    "key": _text,
    "verdict": _text,
    "on": _flag,
    "period": _count,
    "mean": _numbers,
    "spread": lambda value: value is None or _numbers(value),
    "merit": _number_or_none,
    "bar": _number_or_none,
}
_ROWS: dict[str, dict[str, _Test]] = {
    "generation": {
        "problem": _text,
        "number": _count,
        "request": _count,
        "seed": _whole,
        "parents": _counts,
        "inspirations": _counts,
        "prefix": _text,
        "prompt_hash": lambda value: value is None or isinstance(value, str),
        "island": lambda value: value is None or _count(value),
        "text": _text,
        "prompt_tokens": _count,
        "completion_tokens": _count,
        "finish_reason": _text,
        "wall": _wall,
    },
    "evaluation": {"problem": _text, "number": _count, "answers": _list, "wall": _wall},
    "partial": {"problem": _text, "answers": _list, "wall": _wall},
    "abort": {"problem": _text, "numbers": _counts, "wall": _wall},
    "switch": {"problem": _text, "on": _flag, "period": _count, "num_told": _count, "reason": _text, "wall": _wall},
}
