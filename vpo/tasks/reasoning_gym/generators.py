"""The generators of reasoning-gym: which there are, and one made of checked options.

``composite``, the package's own mixture, takes its parts as ``datasets: [{name, weight, config}, ...]``.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import random
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np

import vpo

# Ours to give: a task has its own size and seed.
_OURS = ("seed", "size")
_ONE_AT_A_TIME = threading.RLock()  # what is global is given back in order


def known_generators() -> tuple[str, ...]:
    """Names of all generators of the installed package.

    Raises:
        ValueError: It is not installed.
    """
    return tuple(sorted(_factory().DATASETS))


def make_generator(name: str, config: Mapping[str, Any], seed: int, size: int) -> Any:
    """One generator: a `reasoning_gym.dataset.ProceduralDataset`.

    Args:
        name: Such as "countdown".
        config: Its own options, but ``seed`` and ``size``; a list is taken for a tuple, as YAML and JSON have no other.
        seed: Of its items: item i is drawn by ``seed + i``.
        size: Items. A few generators lay out all of them at once, so that item i depends on it.

    Raises:
        ValueError: The package is not installed, there is no such generator or option, or the generator refuses a
            value.
    """
    factory = _factory()
    if name not in factory.DATASETS:
        close = difflib.get_close_matches(name, factory.DATASETS, n=3)
        meant = f" Did you mean {', '.join(close)}?" if close else " `vpo.tasks.reasoning_gym.generators` lists them."
        raise ValueError(
            f"reasoning-gym has no generator {name!r}: expected one of its {len(factory.DATASETS)}, such as "
            f"'countdown'.{meant}"
        )
    kind = factory.DATASETS[name][1]
    options = _checked(name, kind, config)
    try:
        with own_randomness(f"{name}-{seed}"):
            return factory.create_dataset(name, **options, seed=seed, size=size)
    except Exception as error:  # validate() asserts, and what it compares may not be comparable
        raise ValueError(
            f"reasoning-gym's {name} refuses config {dict(config)} ({type(error).__name__}: {error}): expected values "
            f"that it allows. Its options are {_described(kind)}."
        ) from error


@contextlib.contextmanager
def own_randomness(seed: str) -> Iterator[None]:
    """Global random numbers of its own for what runs inside, and no output or warnings.

    Some generators draw from Python's or numpy's global generator although they are given a seed, some seed it, and
    some print. A trainer's own draws must neither decide the items nor be decided by them.
    """
    with _ONE_AT_A_TIME:
        python, array = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(random.getrandbits(32))
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


def child_environment() -> dict[str, str]:
    """Environment of a child process that imports this package, has no GPU, and hashes texts alike in every run."""
    root = os.path.dirname(os.path.dirname(vpo.__file__))
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}


def _factory() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import reasoning_gym  # the import registers all generators
    except ImportError as error:
        raise ValueError(
            f"the package reasoning-gym cannot be imported ({error}): expected it for tasks reasoning_gym:NAME. "
            "Install it with: pip install 'vpo[reasoning-gym]'."
        ) from error
    return reasoning_gym.factory


def _checked(name: str, kind: type, config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise ValueError(f"config is {config!r}: expected a mapping of the options of {name}. Give {{}} for none.")
    known = {field.name: field for field in fields(kind)}
    for option in config:
        if option in _OURS:
            other = "the seed of the task" if option == "seed" else "task_rows, or the size of dataset()"
            raise ValueError(f"config holds {option!r}: expected it outside of config. Use {other}.")
        if option not in known:
            close = difflib.get_close_matches(str(option), known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"reasoning-gym's {name} has no option {option!r}: expected one of {_described(kind)}.{meant}"
            )
    options = {option: _as_declared(value, known[option]) for option, value in config.items()}
    if name == "composite":
        options["datasets"] = _parts(options.get("datasets"))
    return options


def _as_declared(value: Any, field: Field[Any]) -> Any:
    default = field.default if field.default is not MISSING else None
    return tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value


def _parts(parts: Any) -> list[Any]:
    from reasoning_gym.composite import DatasetSpec

    if not isinstance(parts, list) or not parts:
        raise ValueError(
            f"datasets of composite is {parts!r}: expected a list. Give [{{name: countdown, weight: 1, config: {{}}}}]."
        )
    found = []
    for part in parts:
        if not isinstance(part, Mapping) or "name" not in part or part.keys() - {"name", "weight", "config"}:
            raise ValueError(f"a dataset of composite is {part!r}: expected its name, weight and config. Mend it.")
        if part["name"] == "composite":
            raise ValueError("a dataset of composite is composite itself: expected another generator. Name its parts.")
        own = make_generator(part["name"], part.get("config") or {}, seed=0, size=1).config  # refuses what it must
        options = {option: getattr(own, option) for option in part.get("config") or {}}
        found.append(DatasetSpec(name=part["name"], weight=float(part.get("weight", 1.0)), config=options))
    return found


def _described(kind: type) -> str:
    options = [
        field.name if field.default in (MISSING, None) else f"{field.name} (default {field.default!r})"
        for field in fields(kind)
        if field.name not in _OURS
    ]
    return ", ".join(options)
