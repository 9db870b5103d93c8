"""The parts of a search, built from its file: problems, procedures, the sampler."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from search.budget import Budget
from search.cascade import Cascade
from search.keys import python_ast_key
from search.problem import Problem
from search.problems import get_problems
from search.procedures import Procedure, get_procedure
from search.records import Sampling
from search.retry import Backoff
from search.screening import Screening
from vpo.cli.search.config import SearchConfig, build

SAMPLERS = ("model", "vllm", "openai")


def make_budget(config: SearchConfig, max_seconds: float | None = None) -> Budget:
    """The budget of each problem, perhaps with another limit of time."""
    options = config.budget if max_seconds is None else config.budget | {"max_seconds": max_seconds}
    budget: Budget = build(Budget, options, "budget")
    return budget


def make_sampling(config: SearchConfig) -> Sampling:
    """Settings of every request."""
    sampling: Sampling = build(Sampling, config.sampling, "sampling")
    return sampling


def make_backoff(config: SearchConfig) -> Backoff:
    """How patiently failures of machinery are met."""
    backoff: Backoff = build(Backoff, config.retry, "retry")
    return backoff


def make_problems(config: SearchConfig) -> list[Problem]:
    """All problems, with their way to tell equal answers, and in their cascade if there is one."""
    name, options = _split(config.problem)
    try:
        problems = get_problems(name, **options)
    except TypeError as error:
        raise ValueError(f"problem {name!r} has not these options: {error}.") from error
    if not problems:
        raise ValueError(f"problem {name!r} gives no problems with {options}: expected one at least. See num_problems.")
    if config.dedupe == "python":
        for problem in problems:
            setattr(problem, "canonical", python_ast_key)  # noqa: B010 - no attribute of the protocol
    if not config.cascade:
        return problems
    try:
        return [Cascade(problem, **config.cascade) for problem in problems]
    except TypeError as error:
        raise ValueError(f"cascade is {config.cascade!r}: expected share, bar, floor and seed. {error}") from error


def make_screen(config: SearchConfig) -> Screening | None:
    """The screen before the evaluation, if there is one."""
    if not config.screen:
        return None
    options = dict(config.screen)
    if "options" in options:
        raise ValueError("screen has the key 'options': expected a predictor's options beside its `name`.")
    if isinstance(options.get("predictor"), dict):
        predictor = dict(options["predictor"])
        if not isinstance(predictor.get("name"), str):
            raise ValueError(f"screen: predictor is {predictor!r}, expected a name, or `name:` with options beside it.")
        options |= {"predictor": predictor.pop("name"), "options": predictor}
    screen: Screening = build(Screening, options, "screen")
    return screen


def make_procedure(config: SearchConfig) -> Callable[[Problem], Procedure]:
    """What makes a new procedure for each problem."""
    name, options = _split(config.procedure)
    return lambda problem: get_procedure(name, problem, **options)


def make_sampler(config: SearchConfig) -> Any:
    """The sampler by its name.

    - ``model``: `search.model_sampler.ModelSampler` around the Hugging Face model ``model``.
    - ``vllm``: `search.vllm_sampler.VLLMSampler.load` with its arguments.
    - ``openai``: `search.openai_sampler.OpenAISampler` with its arguments; ``tokenizer`` by name.
    - ``module:function`` of one's own: called with the other options, it gives a sampler.

    Raises:
        ValueError: There is no such sampler, or it has no such option.
    """
    name, options = _split(config.sampler)
    try:
        if name == "model":
            return _model(**options)
        if name == "vllm":
            return _vllm(**options)
        if name == "openai":
            return _openai(**options)
        if ":" in name:
            return _own(name)(**options)
    except TypeError as error:
        raise ValueError(f"sampler {name!r} has not these options: {error}.") from error
    raise ValueError(
        f"there is no sampler {name!r}: expected one of {', '.join(SAMPLERS)}, or module:function of your own."
    )


def _model(model: str, **options: Any) -> Any:
    from search.model_sampler import ModelSampler
    from vpo.cli.models import load_model, require_tokenizer

    return ModelSampler(load_model(model), require_tokenizer(model), **options)


def _vllm(model: str, **options: Any) -> Any:
    from vpo.model_folder import check_folder

    check_folder(model)
    return _class("search.vllm_sampler", "VLLMSampler").load(model, **options)


def _openai(base_url: str, model: str, tokenizer: str | None = None, **options: Any) -> Any:
    from vpo.cli.models import require_tokenizer

    own = {} if tokenizer is None else {"tokenizer": require_tokenizer(tokenizer)}
    return _class("search.openai_sampler", "OpenAISampler")(base_url, model, **own, **options)


def _class(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def _own(name: str) -> Any:
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"sampler {name!r} cannot be found: expected module:function. {error}") from error


def _split(part: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return part["name"], {key: value for key, value in part.items() if key != "name"}
