"""The file of a search: what may stand in it, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

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
    dedupe: str = "text"
    seed: int = 0
    batch: int = 8
    mode: str = "auto"
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
_MAPPINGS = ("budget", "sampling", "cascade", "screen", "retry")
_PLAIN: dict[str, tuple[tuple[type, ...], str]] = {
    "out": ((str,), "a folder"),
    "dedupe": ((str,), "'text' or 'python'"),
    "seed": ((int,), "a whole number"),
    "batch": ((int,), "a whole number"),
    "mode": ((str,), "'auto', 'rounds' or 'stream'"),
    "ordered": ((bool,), "true or false"),
    "overlap": ((bool,), "true or false"),
    "max_in_flight": ((int, type(None)), "a whole number"),
    "evaluators": ((int,), "a whole number"),
    "target": ((int, float, type(None)), "a number"),
}


def read_config(path: Path) -> SearchConfig:
    """Read the file of a search.

    Raises:
        ValueError: There is no such file, it is no YAML mapping, a key is unknown or missing, or a value is of the
            wrong kind.
    """
    import yaml

    if not path.is_file():
        raise ValueError(
            f"there is no file {path}: expected a YAML file with problem, sampler, procedure, budget, out."
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: expected keys and values. {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}: expected keys and values.")
    return parse_config(content, str(path))


def parse_config(content: Mapping[str, Any], where: str) -> SearchConfig:
    """Check the keys and the kinds of the values; see `read_config`."""
    known = [each.name for each in fields(SearchConfig)]
    unknown = [key for key in content if key not in known]
    if unknown:
        raise ValueError(f"{where} has the key {unknown[0]!r}: expected some of {', '.join(known)}.")
    missing = [key for key in ("problem", "sampler", "procedure", "budget", "out") if key not in content]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}: expected it, see `vpo search run --help`.")
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key in _NAMED:
            values[key] = _named(key, value, where)
        elif key in _MAPPINGS:
            if not isinstance(value, dict):
                raise ValueError(f"{where}: {key} is {value!r}, expected keys and values under it.")
            values[key] = dict(value)
        else:
            kinds, wanted = _PLAIN[key]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise ValueError(f"{where}: {key} is {value!r}, expected {wanted}.")
            values[key] = value
    if values.get("dedupe", "text") not in ("text", "python"):
        raise ValueError(f"{where}: dedupe is {values['dedupe']!r}, expected 'text' or 'python'.")
    return SearchConfig(**values)


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


def _named(key: str, value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"{where}: {key} is {value!r}, expected a name, or `name:` with options beside it.")
    return dict(value)
