"""What a demo report holds: plain numbers and words, without a trace of how they are drawn.

Every type is a frozen dataclass that survives JSON unchanged; sequences are kept as lists, mappings as dicts. A number
that was not measured is None: NaN and infinity are turned into None on the way in, because JSON has neither and because
a chart must show a gap, not a zero.

Words: arm = one policy or control ("base", "GRPO", "VPO", "blind", ...); look = one evaluation during training;
w* = the fixed taste; E_w = the mean over random tastes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1  # raised when a field changes its meaning, so that an old report.json is refused and not misread

Number = float | None

# The columns of the table that the page knows by name; a row may carry others, which are shown after these.
METRICS = (
    "best@1",
    "best@3",
    "best@30",
    "E_w[best@3]",
    "E_w[best@30]",
    "pool L1",
    "distinct",
    "completion share",
    "generated tokens",
    "seconds",
)


@dataclass(frozen=True)
class Curve:
    """A line with an optional uncertainty band.

    Attributes:
        x: Positions, in the unit of the chart's horizontal axis, ascending.
        mean: One value for each x; None where nothing was measured.
        lo: Lower end of the band for each x, or None for a line without a band.
        hi: Upper end of the band, given exactly when ``lo`` is.
    """

    x: Sequence[float]
    mean: Sequence[Number]
    lo: Sequence[Number] | None = None
    hi: Sequence[Number] | None = None

    def __post_init__(self) -> None:
        if (self.lo is None) != (self.hi is None):
            raise ValueError("a curve has only one of lo and hi: expected both or neither. Pass the missing edge too.")
        for name in ("x", "mean", "lo", "hi"):
            values = getattr(self, name)
            if values is None:
                continue
            if len(values) != len(self.x):
                raise ValueError(
                    f"curve.{name} has {len(values)} values for {len(self.x)} positions: expected one for each x. "
                    "Put None where nothing was measured."
                )
            object.__setattr__(self, name, [finite(value) for value in values])
        if None in self.x:
            raise ValueError("curve.x holds a value that is not finite: expected numbers. Leave such points out.")


@dataclass(frozen=True)
class Figure:
    """A headline number as it is printed, e.g. ``Figure("Pool L1, VPO / GRPO", "3.8 x", "base 1.09")``."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class TableRow:
    """One arm's end result: metric name (see ``METRICS``) to value, None where the metric has no meaning."""

    arm: str
    metrics: Mapping[str, Number]

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", _finite_values(self.metrics))


@dataclass(frozen=True)
class LookPoint:
    """One evaluation during training.

    Attributes:
        step: Optimizer step, 0 = before training.
        pool_l1: Mean pairwise L1 distance of the reward vectors of one prompt's answers.
        distinct: Number of different answers to one prompt.
        best_at_1: Mean reward of a single answer under w*.
        set_reward: Mean set reward of a completion.
        shares: Kind of answer to its share, summing to 1.
        format_shares: Format of the completion to its share, summing to 1; may be empty.
    """

    step: int
    pool_l1: Number
    distinct: Number
    best_at_1: Number
    set_reward: Number
    shares: Mapping[str, Number] = field(default_factory=dict)
    format_shares: Mapping[str, Number] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", int(self.step))  # a numpy integer would not go into JSON
        for name in ("pool_l1", "distinct", "best_at_1", "set_reward"):
            object.__setattr__(self, name, finite(getattr(self, name)))
        for name in ("shares", "format_shares"):
            object.__setattr__(self, name, _finite_values(getattr(self, name)))


@dataclass(frozen=True)
class SearchCurve:
    """Best reward so far under w*, against generated tokens and against evaluated answers (both per prompt)."""

    tokens: Curve
    answers: Curve


@dataclass(frozen=True)
class GalleryItem:
    """One prompt with the answers of several arms drawn as SVG.

    Attributes:
        caption: What is seen; plain text.
        panels: Arm to an ``<svg>`` element. It is embedded as it is, so it must be our own markup, never a user's.
        note: The legend in words: what the signs and colours of the drawing mean.
    """

    caption: str
    panels: dict[str, str]
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """One acceptance check: what was measured, what was asked for, and whether that was reached."""

    name: str
    figure: str
    target: str
    ok: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "ok", bool(self.ok))  # a numpy comparison would not go into JSON


@dataclass(frozen=True)
class DemoReport:
    """Everything the page shows. Empty fields are allowed; the page then says what is missing.

    Attributes:
        title: Heading of the page.
        command: The command line that made the report.
        created: ISO 8601 time.
        seed: The run's seed.
        hardware: Machine in words.
        versions: Package to version.
        summary: Headline numbers, most important first.
        best_at_k: Arm to best@k under w*; x = number of answers k.
        expected_best_at_k: Arm to E_w[best@k].
        table: End results, one row an arm.
        looks: Arm to its evaluations during training.
        search: ``"policy / procedure"`` to the search curve.
        gallery: Prompts with drawn answers.
        verdicts: Acceptance checks, passed or not.
        notes: Sentences on what to keep in mind.
    """

    title: str
    command: str
    created: str
    seed: int
    hardware: str
    versions: dict[str, str] = field(default_factory=dict)
    summary: list[Figure] = field(default_factory=list)
    best_at_k: dict[str, Curve] = field(default_factory=dict)
    expected_best_at_k: dict[str, Curve] = field(default_factory=dict)
    table: list[TableRow] = field(default_factory=list)
    looks: dict[str, list[LookPoint]] = field(default_factory=dict)
    search: dict[str, SearchCurve] = field(default_factory=dict)
    gallery: list[GalleryItem] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_title(self.title)
        object.__setattr__(self, "seed", int(self.seed))

    def to_json(self) -> str:
        """Write the report as JSON text with its schema number; holds no NaN."""
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, indent=1, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> DemoReport:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: The text is no JSON, has another schema number, lacks a field, or holds one that is unknown.
        """
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: also of numbers with thousands of digits
            raise ValueError(f"the text is not JSON ({error}).") from error
        found = raw.pop("schema", None) if isinstance(raw, dict) else None
        if found != SCHEMA:
            raise ValueError(
                f"the text has report schema {found!r}: expected {SCHEMA}. Make the report again with this version."
            )
        report: DemoReport = _decode(cls, raw, "report")
        return report


def require_title(title: str) -> None:
    """Refuse a title without a word: it heads the page and names the browser's tab.

    Raises:
        ValueError: It is empty or white space.
    """
    if not title.strip():
        raise ValueError(f"the report's title is {title!r}: expected words, for the page's heading. Say what it shows.")


def finite(value: object) -> Number:
    """Turn a number (a numpy scalar too) into a float, and None, NaN and infinity into None."""
    if value is None:
        return None
    number = float(value)  # type: ignore[arg-type]  # anything with __float__ is welcome
    return number if math.isfinite(number) else None


def _finite_values(values: Mapping[str, object]) -> dict[str, Number]:
    return {key: finite(value) for key, value in values.items()}


def _decode(kind: Any, raw: Any, where: str) -> Any:
    """Build a value of the annotated type ``kind`` from what ``json.loads`` gave."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if raw is None:
            return None
        return _decode(next(argument for argument in arguments if argument is not type(None)), raw, where)
    if origin in (list, Sequence):
        _expect(raw, list, where)
        return [_decode(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(raw)]
    if origin in (dict, Mapping):
        _expect(raw, dict, where)
        return {key: _decode(arguments[1], item, f"{where}[{key!r}]") for key, item in raw.items()}
    if dataclasses.is_dataclass(kind):
        _expect(raw, dict, where)
        hints = typing.get_type_hints(kind)
        required = {each.name for each in dataclasses.fields(kind) if _is_required(each)}
        if unfit := (set(raw) - set(hints)) | (required - set(raw)):
            raise ValueError(
                f"{where} has unknown or missing fields {_listed(unfit)}: expected {_listed(hints)}. "
                "Make the report again with this version."
            )
        build: Any = kind  # mypy has narrowed it to an instance
        return build(**{name: _decode(hints[name], value, f"{where}.{name}") for name, value in raw.items()})
    if kind is float and type(raw) is int and abs(raw) <= sys.float_info.max:
        return float(raw)
    _expect(raw, kind, where)
    return raw


def _expect(raw: object, kind: type, where: str) -> None:
    if not isinstance(raw, kind):
        raise ValueError(
            f"{where} is {type(raw).__name__} {raw!r:.40}: expected {kind.__name__}. "
            "Make the report again, or mend the file by hand."
        )


def _is_required(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
