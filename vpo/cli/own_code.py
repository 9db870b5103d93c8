"""What settings name that is not ours: code that would be run, and keys that would be sent somewhere.

A folder may come from elsewhere, and whose it is cannot be seen from its files. So commands that take their settings
out of a run's folder, and not from a file that the user names, ask for ``--trust`` where these functions find
something. Only what is known to be ours passes: lists of what is dangerous are never complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Settings through which a recipe runs code that is not ours
_RUN_CODE = ("env", "task", "task_options", "model_init_kwargs", "reward_funcs", "trust_remote_code")
# Arguments of a model by which code or pickles are loaded
_LOADING = ("trust_remote_code", "allow_all_kernels", "use_safetensors")
# Options of vLLM's engine, or of a call of generate, that are text and name no class, module or format of weights
_HARMLESS_TEXT = ("dtype", "revision", "tokenizer_revision")


def require_trust(named: Iterable[str], trust: bool, what: str = "run") -> bool:
    """Refuse what is not ours, unless it is trusted.

    Args:
        named: What was found in the settings of a folder.
        trust: Whether the user said ``--trust``.
        what: Of what the settings are.

    Returns:
        Whether trust was needed, and given.

    Raises:
        ValueError: It was needed and not given.
    """
    found = list(named)
    if found and not trust:
        raise ValueError(
            f"the {what}'s settings name code to run, or a key to send, that is not vpo's ({', '.join(found[:3])}): "
            "expected --trust for that. Look at it, and run this again with --trust if it is yours."
        )
    return bool(found)


def code_of_search(settings: Mapping[str, Any]) -> Iterator[str]:
    """What a search's settings name that is not ours.

    Args:
        settings: As in its file, or the fields of `vpo.cli.search.config.SearchConfig`.
    """
    from search.problems import list_problems
    from search.screening.registry import PREDICTORS
    from vpo.cli.search.parts import SAMPLERS

    problem, options = _part(settings.get("problem"))
    if not (problem in list_problems() or problem.partition(":")[0] == "reasoning_gym"):
        yield f"problem {problem}"
    if problem == "openevolve":
        yield from (f"problem {name}" for name in ("folder", "evaluator") if name in options)
    yield from _runner(options)
    sampler, options = _part(settings.get("sampler"))
    if sampler not in SAMPLERS:
        yield f"sampler {sampler}"
    if sampler == "vllm":
        yield from _of_engine(options)
    if sampler == "model" and any(True for _ in _of_engine(_mapping(options.get("generate_kwargs")))):
        yield "sampler generate_kwargs"  # custom_generate is a repository with code
    if options.get("api_key_env"):  # no code, but a secret that goes to an address which the file names
        yield f"sampler: the key in {options['api_key_env']} for {options.get('base_url')}"
    screen = settings.get("screen")
    if isinstance(screen, Mapping) and screen:
        predictor, _ = _part(screen.get("predictor", "text"))
        if predictor not in PREDICTORS:
            yield f"screen's predictor {predictor}"


def code_of_recipe(settings: Mapping[str, Any], flags: Sequence[str]) -> Iterator[str]:
    """What a recipe and the flags before it name that is not ours."""
    for name in _RUN_CODE:
        given = [settings[name]] if name in settings else []
        given += _given(flags, name)
        for value in given:
            if _is_foreign(value, name):
                yield f"{name}: {value}"
    if "--arms" in " ".join(flags):
        yield "--arms"


def _part(part: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and options of a part, which may be its name alone."""
    if isinstance(part, Mapping):
        return str(part.get("name")), part
    return str(part), {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {} if value is None else {"": value}


def _runner(options: Mapping[str, Any]) -> Iterator[str]:
    from search.problems.find import RUNNER

    if options.get("runner") not in (None, RUNNER):
        yield f"runner {options['runner']}"


def _of_engine(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        is_plain = isinstance(value, bool | int | float | None) and name != "trust_remote_code"
        is_ours = name in ("name", "model", "chat_template_kwargs", *_HARMLESS_TEXT)
        if not is_plain and not is_ours:
            yield f"sampler {name}"


def _is_foreign(value: Any, name: str) -> bool:
    """Whether a recipe's value under a name of `_RUN_CODE` is not ours."""
    if name == "env":
        return bool(value)
    if name == "trust_remote_code":
        return str(value).lower() not in ("false", "no", "n", "f", "0", "none")
    if name == "model_init_kwargs":
        return any(text in _LOADING for text in _texts(_unpacked(value)))
    if name == "reward_funcs":
        return any("." in text or "/" in text for text in _texts(value))
    if name == "task":
        from vpo.tasks import list_tasks

        return value is not None and not (value in list_tasks() or str(value).partition(":")[0] == "reasoning_gym")
    options = _unpacked(value)
    return bool(list(_runner(options))) if isinstance(options, Mapping) else options is not None


def _unpacked(value: Any) -> Any:
    """Options that may be written as JSON, in which a word may be spelt in several ways."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _given(flags: Sequence[str], name: str) -> list[str]:
    """Values of an option on a command line, which may be spelt with hyphens, shortened, have several, or none."""
    found: list[str] = []
    is_it = is_bare = False
    for word in [*flags, "--"]:
        if word.startswith("--"):
            found += ["true"] if is_bare else []
            spelt, equals, _ = word[2:].replace("-", "_").partition("=")
            is_it = bool(spelt) and name.startswith(spelt)
            is_bare = is_it and not equals
            found += [word.partition("=")[2]] if is_it and equals else []
        elif is_it:
            found.append(word)
            is_bare = False
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
