"""What a comparison of searches is: its configuration file, checked at the door."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vpo.yaml_file import check, read_yaml

BEST_OF_N = "best_of_n"
_FORBIDDEN = ("/", "\\", "\0")


@dataclass(frozen=True)
class Problems:
    """Where problems come from.

    Attributes:
        name: A source of ``search.problems``.
        options: Of the source.
        count: How many; the first of the list. None takes all that the source gives.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    count: int | None = None


@dataclass(frozen=True)
class Policy:
    """One policy.

    Attributes:
        name: Shown in tables; also a folder.
        model: Folder or hub id of a model; ``{seed}`` in it stands for the seed, for policies that were trained under
            several.
        server: ``base_url`` of an OpenAI-compatible server that serves ``model``, and further options of
            ``search.openai_sampler.OpenAISampler``; None loads the model here.
        max_new_tokens: Most tokens of a completion; None takes the comparison's.
        problem_options: Options of the problem source that differ for this policy, such as ``num_answers``.
    """

    name: str
    model: str
    server: Mapping[str, Any] | None = None
    max_new_tokens: int | None = None
    problem_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """One procedure: its name in tables, its name in ``search.procedures``, and its options."""

    name: str
    procedure: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A comparison.

    Attributes:
        problems: Sources of problems, whose problems are put together.
        policies: What is compared.
        procedures: Best-of-n first, whether it was named or not.
        seeds: Seeds of the searches, the same for every policy and procedure.
        budget: Completion tokens that a search may generate on one problem.
        out: Folder of ledgers and report.
        references: Policies that the others are held against with the same procedure; the first if none is named.
        max_new_tokens: Most tokens of a completion.
        temperature: Of sampling.
        top_p: Of sampling.
        answers_per_round: Answers of one problem that are asked for before the procedure learns of any; a policy with
            m answers in a completion is asked for ``answers_per_round // m`` completions, one at least.
        targets: Scalars whose cost is reported; "best_of_n" is, problem by problem, what best-of-n with the first
            reference reached in the mean over seeds.
        floor: Scalar before the first answer.
        reference: Corner from which hypervolume is measured, one value for all components. A little below the worst
            reward: from the worst itself, an answer that is worst in one component would dominate nothing.
        batch_size: Rows in one call of a model.
    """

    problems: tuple[Problems, ...]
    policies: tuple[Policy, ...]
    procedures: tuple[Search, ...]
    seeds: tuple[int, ...]
    budget: int
    out: Path
    references: tuple[str, ...] = ()
    max_new_tokens: int = 512
    temperature: float = 1.0
    top_p: float = 1.0
    answers_per_round: int = 6
    targets: tuple[float | str, ...] = (BEST_OF_N,)
    floor: float = 0.0
    reference: float = -0.1
    batch_size: int = 64

    def longest(self, policy: Policy) -> int:
        """Most tokens of a completion of ``policy``."""
        return policy.max_new_tokens or self.max_new_tokens


def read_config(path: Path, out: Path | None = None) -> Config:
    """Read a YAML file.

    Args:
        path: The file.
        out: Folder that takes the place of the file's.

    Raises:
        ValueError: It is no mapping; or a key is unknown, missing or of no use; the message names it.
        FileNotFoundError: There is no such file.
    """
    from vpo.cli.search_compare.schema import comparison_schema

    if not path.is_file():
        raise FileNotFoundError(f"there is no configuration {path}: expected a YAML file. See docs/search-compare.md.")
    file = read_yaml(path)
    check(file, comparison_schema())
    raw = file.content
    where = str(path)
    folder = out or Path(_text(raw.get("out", f"runs/search-compare/{path.stem}"), f"{where}, out"))
    return config_of(raw, folder, where)


def config_of(raw: Mapping[str, Any], out: Path, where: str = "the configuration") -> Config:
    """Check plain values, as YAML gives them; see :func:`read_config`."""
    _keys(raw, where, ("problems", "policies", "budget"), Config.__dataclass_fields__)
    policies = _policies(raw["policies"], f"{where}, policies")
    config = Config(
        problems=_problems(raw["problems"], f"{where}, problems"),
        policies=policies,
        procedures=_procedures(raw.get("procedures") or {}, f"{where}, procedures"),
        seeds=_seeds(raw.get("seeds", 3), f"{where}, seeds"),
        budget=_whole(raw["budget"], f"{where}, budget"),
        out=out,
        references=_references(raw.get("references"), [policy.name for policy in policies], f"{where}, references"),
        max_new_tokens=_whole(raw.get("max_new_tokens", 512), f"{where}, max_new_tokens"),
        temperature=_number(raw.get("temperature", 1.0), f"{where}, temperature"),
        top_p=_number(raw.get("top_p", 1.0), f"{where}, top_p"),
        answers_per_round=_whole(raw.get("answers_per_round", 6), f"{where}, answers_per_round"),
        targets=_targets(raw.get("targets", [BEST_OF_N]), f"{where}, targets"),
        floor=_number(raw.get("floor", 0.0), f"{where}, floor"),
        reference=_number(raw.get("reference", -0.1), f"{where}, reference"),
        batch_size=_whole(raw.get("batch_size", 64), f"{where}, batch_size"),
    )
    for policy in config.policies:
        if config.longest(policy) > config.budget:
            raise ValueError(
                f"{where}: budget is {config.budget} and a completion of {policy.name} may have "
                f"{config.longest(policy)} tokens: expected room for one at least. Raise budget, or lower "
                "max_new_tokens."
            )
    return config


def _problems(value: Any, where: str) -> tuple[Problems, ...]:
    found = []
    for index, given in enumerate(value if isinstance(value, list) else [value]):
        here = f"{where}[{index}]" if isinstance(value, list) else where
        source = {"name": given} if isinstance(given, str) else _mapping(given, here)
        _keys(source, here, ("name",), Problems.__dataclass_fields__)
        count = source.get("count")
        found.append(
            Problems(
                _text(source["name"], f"{here}.name"),
                _options(source.get("options"), f"{here}.options"),
                None if count is None else _whole(count, f"{here}.count"),
            )
        )
    if not found:
        raise ValueError(f"{where} is empty: expected one source at least, as `name: maze`.")
    return tuple(found)


def _options(value: Any, where: str) -> Mapping[str, Any]:
    """Options of a source of problems; its name is none of them."""
    found = _mapping(value or {}, where)
    if "name" in found:
        raise ValueError(f"{where} has a name: expected options of the source alone. Put it beside `problems:`.")
    return found


def _policies(value: Any, where: str) -> tuple[Policy, ...]:
    found = []
    for name, given in _mapping(value, where).items():
        here = f"{where}.{name}"
        _name(name, here)
        fields = {"model": given} if isinstance(given, str) else _mapping(given, here)
        known = [each for each in Policy.__dataclass_fields__ if each != "name"]
        _keys(fields, here, ("model",), known)
        longest, server = fields.get("max_new_tokens"), fields.get("server")
        if isinstance(server, str):
            server = {"base_url": server}
        found.append(
            Policy(
                name,
                _text(fields["model"], f"{here}.model"),
                None if server is None else _mapping(server, f"{here}.server"),
                None if longest is None else _whole(longest, f"{here}.max_new_tokens"),
                _options(fields.get("problem_options"), f"{here}.problem_options"),
            )
        )
    if not found:
        raise ValueError(f"{where} names no policy: expected one at least, as `mine: path/to/model`.")
    return tuple(found)


def _references(value: Any, names: list[str], where: str) -> tuple[str, ...]:
    if value is None:
        return (names[0],)
    found = value if isinstance(value, list) else [value]
    if not found or len(set(map(str, found))) < len(found) or any(name not in names for name in found):
        raise ValueError(f"{where} is {value!r}: expected names of policies, each once, out of {', '.join(names)}.")
    return tuple(found)


def _procedures(value: Any, where: str) -> tuple[Search, ...]:
    if isinstance(value, list):  # names alone
        value = {_text(name, where): None for name in value}
    found = []
    for name, given in _mapping(value, where).items():
        _name(name, f"{where}.{name}")
        options = dict(_mapping(given or {}, f"{where}.{name}"))
        found.append(Search(name, _text(options.pop("procedure", name), f"{where}.{name}.procedure"), options))
    floor = [each for each in found if each.name == BEST_OF_N] or [Search(BEST_OF_N, BEST_OF_N)]
    if floor[0].procedure != BEST_OF_N:
        raise ValueError(
            f"{where}.{BEST_OF_N} is the procedure {floor[0].procedure!r}: expected best-of-n itself under this name, "
            "as everything is held against it. Give the other one a name of its own."
        )
    return (*floor, *[each for each in found if each.name != BEST_OF_N])


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(range(_whole(value, where)))
    if not isinstance(value, list) or not value or not all(isinstance(s, int) for s in value):
        raise ValueError(f"{where} is {value!r}: expected a number of seeds, or a list of whole numbers as [0, 1, 2].")
    if len(set(value)) < len(value):
        raise ValueError(f"{where} is {value!r}: expected every seed once, as a repeated one adds no evidence.")
    return tuple(value)


def _targets(value: Any, where: str) -> tuple[float | str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each if each == BEST_OF_N else _number(each, where) for each in values)


def _name(value: Any, where: str) -> None:
    usable = isinstance(value, str) and value.strip() == value and value and not value.startswith(".")
    if not usable or any(sign in value for sign in _FORBIDDEN):
        raise ValueError(
            f"{where} is named {value!r}: expected text without slashes that does not begin with a dot, as it names a "
            "folder. Put it in quotes if YAML reads it as a number."
        )


def _keys(found: Mapping[str, Any], where: str, needed: tuple[str, ...], known: Any) -> None:
    if missing := [key for key in needed if key not in found]:
        raise ValueError(f"{where} lacks {', '.join(missing)}: expected {', '.join(needed)} at least. Add it.")
    if unknown := [str(key) for key in found if key not in known]:
        raise ValueError(
            f"{where} has unknown keys {', '.join(unknown)}: expected some of {', '.join(known)}. Mend the spelling."
        )


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} holds {type(value).__name__}: expected a mapping of keys and values.")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} is {value!r}: expected text. Put it in quotes.")
    return value


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where} is {value!r}: expected a whole number of 1 or more.")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{where} is {value!r}: expected a finite number.")
    return float(value)
