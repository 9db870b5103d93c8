"""The options of a search's named parts as JSON schema, from the functions and classes that take them.

Each is made when it is asked for: the schema of one sampler should not load another.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from typing import Any

from search.problems.find import OPEN, task_problems
from vpo.tasks.options import named_tasks, task_options
from vpo.yaml_file import Schema, inside, schema_of_arguments

_TEXT: Schema = {"type": "string"}
_NOT_IN_A_FILE = ("vary", "canonical", "descriptor", "setting", "limits", "sandbox", "problem", "backoff", "options")


def problem_options(name: str) -> Schema:
    """Schema of the options of problems that `search.problems.get_problems` knows by name."""
    if name in OPEN:
        from search.problems.open_problem import Setting

        module, function, given = OPEN[name]
        own = _arguments(getattr(import_module(f"search.problems.{module}"), function), given)
        return _joined(_arguments(Setting), own)
    if name == "openevolve":
        from search.problems.openevolve import openevolve_problem

        return _arguments(openevolve_problem)
    return _joined(task_options(name), _arguments(task_problems, ["name"]))


def procedure_options(name: str) -> Schema:
    """Schema of the options of a procedure of `search.procedures`."""
    from search.procedures.registry import PROCEDURES

    make = PROCEDURES[name]
    return _arguments(make) if inspect.signature(make).parameters else _NONE


def sampler_options(name: str) -> Schema:
    """Schema of the options of one of `vpo.cli.search.parts.SAMPLERS`; vLLM's engine may have any others."""
    if name == "vllm":
        rest = {"model": _TEXT, "chat_template_kwargs": {"type": "object"}}
        return {"type": "object", "properties": rest, "required": ["model"]}
    if name == "model":
        from search.model_sampler import ModelSampler

        own = _arguments(ModelSampler, ["model", "tokenizer"])
        return {**own, "properties": {"model": _TEXT, **own["properties"]}, "required": ["model"]}
    from search.openai_sampler import OpenAISampler

    own = _arguments(OpenAISampler)
    return {**own, "properties": {**own["properties"], "tokenizer": {"anyOf": [_TEXT, {"type": "null"}]}}}


def predictor_options(name: str) -> Schema:
    """Schema of the options of a predictor of `search.screening`."""
    from search.screening.registry import PREDICTORS

    module, _, function = PREDICTORS[name].partition(":")
    return _arguments(getattr(import_module(module), function))


def problem_names() -> Iterator[tuple[str | Schema, str]]:
    """How a problem's name is written, and the name that `problem_options` takes."""
    yield from ((name, name) for name in (*OPEN, "openevolve"))
    yield from named_tasks()


def part_rules(part: str, names: Collection[str] | None = None) -> list[Schema]:
    """Rules for the mapping of a named part.

    Args:
        part: "problem", "sampler", "procedure" or "predictor".
        names: Those that rules are wanted for; None for all.
    """
    from search.procedures.registry import PROCEDURES
    from search.screening.registry import PREDICTORS
    from vpo.cli.search.parts import SAMPLERS

    known: dict[str, tuple[Any, Callable[[str], Schema]]] = {
        "problem": (problem_names(), problem_options),
        "sampler": (zip(SAMPLERS, SAMPLERS, strict=True), sampler_options),
        "procedure": (zip(PROCEDURES, PROCEDURES, strict=True), procedure_options),
        "predictor": (zip(PREDICTORS, PREDICTORS, strict=True), predictor_options),
    }
    pairs, options = known[part]
    wanted = None if names is None else {name.partition(":")[0] for name in names}
    return [inside("name", written, options(name)) for written, name in pairs if wanted is None or name in wanted]


_NONE: Schema = {"type": "object", "properties": {}, "additionalProperties": False}


def _arguments(function: Callable[..., Any], leave_out: Collection[str] = ()) -> Schema:
    return schema_of_arguments(function, leave_out=[*_NOT_IN_A_FILE, *leave_out])


def _joined(first: Schema, second: Schema) -> Schema:
    """The options of both, the second's before the first's of the same name."""
    required = [*first.get("required", ()), *second.get("required", ())]
    joined = {**first, "properties": {**first["properties"], **second["properties"]}}
    return {**joined, "required": required} if required else joined
