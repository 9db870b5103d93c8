"""The file of a search: what may stand in it, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from vpo.yaml_file import Schema, check, mistakes, read_yaml, ruled, schema_of, schema_of_arguments

LEDGER = "ledger.jsonl"
CONFIG = "search.yaml"


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """A search as its file describes it.

    Parts with a name (problem, sampler, procedure) are a mapping of ``name`` and options, or the name alone.

    Attributes:
        problem: As for `search.problems.get_problems`.
        sampler: See `vpo.cli.search.parts.make_sampler`.
        procedure: As for `search.procedures.get_procedure`.
        budget: Fields of `search.budget.Budget`, for each problem.
        out: Folder of the search.
        sampling: Fields of `search.records.Sampling`.
        cascade: Arguments of `search.cascade.Cascade`; empty for none.
        screen: Fields of `search.screening.Screening`; ``predictor`` is a name, or a name and options beside it; empty
            for none.
        retry: Fields of `search.retry.Backoff`: how patiently evaluation and sampling are tried again where machinery
            failed; empty for 6 times, after up to 1, 2, 4, ... s.
        dedupe: "text", or "python" to take programs for equal that differ in comments and layout.
        seed, batch, mode, ordered, overlap, max_in_flight, evaluators, target: As for `search.driver.run_search`.
    """

    problem: dict[str, Any]
    sampler: dict[str, Any]
    procedure: dict[str, Any]
    budget: dict[str, Any]
    out: str
    sampling: dict[str, Any] = field(default_factory=dict)
    cascade: dict[str, Any] = field(default_factory=dict)
    screen: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)
    dedupe: Literal["text", "python"] = "text"
    seed: int = 0
    batch: int = 8
    mode: Literal["auto", "rounds", "stream"] = "auto"
    ordered: bool = True
    overlap: bool = False
    max_in_flight: int | None = None
    evaluators: int = 1
    target: float | None = None

    @property
    def driver_options(self) -> dict[str, Any]:
        """Keyword arguments of `run_search` that stand in the file as they are."""
        names = ("seed", "batch", "mode", "ordered", "overlap", "max_in_flight", "evaluators", "target")
        return {name: getattr(self, name) for name in names}


_NAMED = ("problem", "sampler", "procedure")
_NAME: Schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def search_schema(content: Mapping[str, Any] | None = None) -> Schema:
    """JSON schema of the file.

    Args:
        content: A file's: of parts with a name, the options of those that it names are enough. None for all.
    """
    from search.budget import Budget
    from search.cascade import Cascade
    from search.records import Sampling
    from search.retry import Backoff
    from search.screening.rules import Screening

    parts: dict[str, Schema] = {
        **{name: _part(name, content) for name in _NAMED},
        "budget": schema_of(Budget),
        "sampling": schema_of(Sampling),
        "cascade": _or_nothing(schema_of_arguments(Cascade, leave_out=["problem"])),
        "screen": schema_of(Screening, leave_out=["options"], own={"predictor": _part("predictor", content)}),
        "retry": schema_of(Backoff),
    }
    return schema_of(SearchConfig, own=parts)


def _part(part: str, content: Mapping[str, Any] | None) -> Schema:
    """A name alone, or a mapping of a name and its options."""
    from vpo.cli.search.options import part_rules

    names = None if content is None else [*_names(content.get(part)), *_names(content.get("screen"), part)]
    return {"anyOf": [{"type": "string"}, ruled(_NAME, part_rules(part, names))]}


def _names(part: Any, key: str = "name") -> Iterator[str]:
    """Names in a mapping, or in one under a key of it."""
    found = part.get(key) if isinstance(part, dict) else None
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from _names(found)


def _or_nothing(schema: Schema) -> Schema:
    """An empty mapping will do as well, which leaves the part out."""
    return {"anyOf": [schema, {"type": "object", "additionalProperties": False}]}


def read_config(path: Path) -> SearchConfig:
    """Read the file of a search.

    Raises:
        ValueError: There is no such file, it is no YAML mapping, a key is unknown or missing, or a value is of the
            wrong kind.
    """
    if not path.is_file():
        raise ValueError(
            f"there is no file {path}: expected a YAML file with problem, sampler, procedure, budget, out."
        )
    file = read_yaml(path)
    check(file, search_schema(file.content))
    return _made(file.content)


def parse_config(content: Mapping[str, Any], where: str) -> SearchConfig:
    """The search that plain values describe; see `read_config`."""
    if wrong := mistakes(dict(content), search_schema(content), lambda place: where):
        raise ValueError("\n".join(wrong))
    return _made(content)


def _made(content: Mapping[str, Any]) -> SearchConfig:
    names = {key: {"name": content[key]} for key in _NAMED if isinstance(content[key], str)}
    return SearchConfig(**{**content, **names})


def build(kind: Any, options: Mapping[str, Any], where: str) -> Any:
    """Make a dataclass of options, and say which one is not among its fields.

    Raises:
        ValueError: An option is unknown, or has no sense.
    """
    known: Sequence[str] = [each.name for each in fields(kind)]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ValueError(f"{where} has the key {unknown[0]!r}: expected some of {', '.join(known)}.")
    try:
        return kind(**options)
    except TypeError as error:  # a text where a number belongs
        raise ValueError(f"{where} is {dict(options)!r}: expected numbers. {error}") from error
