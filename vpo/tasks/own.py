"""A task of one's own: a scoring function under a decorator, in a file or a module.

::

    # shout.py
    from vpo.tasks import task

    @task(components=("loud", "short"), data="questions.jsonl", prompt="question")
    def shout(answer, row):
        return answer.isupper(), 1 - min(len(answer) / row["limit"], 1)

``get_task("shout.py")``, ``vpo tasks check shout.py`` and ``task: shout.py`` in a recipe then do what they do for tasks
of this package; so does the dotted name of a module, or of the function in it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vpo.tasks.protocol import RewardFunc, Row, Vector, check_split
from vpo.tasks.reward import reward_function
from vpo.tasks.rows import RowReader, hub_rows, local_rows, to_dataset

if TYPE_CHECKING:
    from datasets import Dataset

Rows = Callable[[str], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class OwnTask:
    """What `task` makes of a scoring function. It can still be called as that function.

    Attributes: see the arguments of `task`; ``folder`` is that of the function's file, where relative paths begin.
    """

    scorer: Callable[[str, Row], Any]
    name: str
    components: tuple[str, ...]
    w_star: tuple[float, ...]
    path: str | Rows
    prompt: str | Callable[[Row], Any]
    answer: str | Callable[[Row], str] | None
    tag: str
    folder: Path

    def __call__(self, answer: str, row: Row) -> Any:
        """Score as the decorated function does."""
        return self.scorer(answer, row)

    def dataset(self, split: str, size: int, num_answers: int, seed: int | None = None) -> Dataset:
        """All columns of the data, and ``prompt``; see `Task.dataset`."""
        return to_dataset(self._rows(check_split(split)), self._convert, size, seed)

    def score(self, answer: str, row: Row) -> Vector:
        """The vector of one answer.

        Raises:
            ValueError: The function returned another number of components.
        """
        found = self.scorer(answer, row)
        if isinstance(found, Mapping):
            if set(found) != set(self.components):
                raise ValueError(f"{self.name} returned {sorted(found)}: expected {', '.join(self.components)}.")
            found = [found[name] for name in self.components]
        vector = tuple(found) if isinstance(found, Iterable) else (found,)
        if len(vector) != len(self.components):
            raise ValueError(
                f"{self.name} returned {len(vector)} values: expected {len(self.components)}, one each for "
                f"{', '.join(self.components)}."
            )
        return tuple(None if value is None else float(value) for value in vector)

    @cached_property
    def reward_funcs(self) -> list[RewardFunc]:
        """One function with all components."""
        return [reward_function(self.name, self.components, self.score)]

    def reference(self, row: Row) -> str | None:
        """The answer that the decorator was told of."""
        if self.answer is None:
            return None
        return self.answer(row) if callable(self.answer) else str(row[self.answer])

    def _rows(self, split: str) -> Iterator[RowReader]:
        if callable(self.path):
            for number, values in enumerate(self.path(split), start=1):
                yield RowReader(values, f"{split}, row {number}")
            return
        beside = self.folder / self.path
        if beside.exists():
            yield from local_rows(beside, (split,), alone=split == "train")
        elif Path(self.path).suffix in (".jsonl", ".json", ".parquet") or not _is_hub_name(self.path):
            raise ValueError(f"there are no rows at {beside}: expected a file or folder, or a name on the hub.")
        else:
            yield from hub_rows(self.path, split=split)

    def _convert(self, row: RowReader) -> dict[str, Any]:
        prompt = self.prompt(row.values) if callable(self.prompt) else row.values.get(self.prompt)
        if not prompt or not isinstance(prompt, (str, list)):
            column = "prompt" if callable(self.prompt) else self.prompt
            raise row.bad(column, f"is {prompt!r}", "text or a list of chat messages")
        return {**row.values, "prompt": prompt}


def task(
    *,
    components: Sequence[str],
    data: str | Rows,
    w_star: Sequence[float] | None = None,
    prompt: str | Callable[[Row], Any] = "prompt",
    answer: str | Callable[[Row], str] | None = None,
    tag: str = "answer",
    name: str | None = None,
) -> Callable[[Callable[[str, Row], Any]], OwnTask]:
    """Make a task of ``score(answer, row)``, which returns the components of an answer's reward.

    Args:
        components: Their names. The function returns as many numbers, in this order or as a dict; None for one that
            does not apply to a row.
        data: Rows: a file or folder (JSON Lines, Parquet; relative to the function's file), a name on the hub, or a
            function of the split that gives them. ``get_task(..., path=...)`` overrides it.
        w_star: Weights of deployment, which are made to sum to 1; equal by default.
        prompt: Column of the prompt, text or chat messages, or a function that makes it of a row.
        answer: Column, or function, of an answer that earns full marks; for `vpo tasks check`.
        tag: Name of the tags around an answer when several are asked for.
        name: By default the function's.

    Raises:
        ValueError: The names are not distinct, or the weights do not fit them.
    """
    names = tuple(components)
    if isinstance(components, str) or not names or len(set(names)) != len(names):
        raise ValueError(f"components are {components!r}: expected a list of distinct names, one at least.")
    weights = tuple(map(float, w_star)) if w_star is not None else (1.0,) * len(names)
    if len(weights) != len(names) or not all(0 <= w < math.inf for w in weights) or not sum(weights):
        raise ValueError(f"w_star is {w_star!r}: expected {len(names)} weights of at least 0, one a component.")
    total = sum(weights)

    def decorate(scorer: Callable[[str, Row], Any]) -> OwnTask:
        folder = Path(inspect.getfile(scorer)).resolve().parent
        own = str(name or getattr(scorer, "__name__", "task"))
        return OwnTask(scorer, own, names, tuple(w / total for w in weights), data, prompt, answer, tag, folder)

    return decorate


def own_task(where: str, **options: Any) -> OwnTask:
    """The task at a path of a .py file, at a module's dotted name, or at the dotted name of a decorated function.

    Args:
        where: Such as "my_tasks/shout.py", "my_tasks.shout" or "my_tasks.shout.shout".
        **options: Fields to override, such as ``path``.

    Raises:
        ValueError: There is no such file or module, or not exactly one decorated function in it; or an option is none.
    """
    found = load_file(Path(where)) if where.endswith(".py") else find_object(where)
    if isinstance(found, ModuleType):
        tasks = {each.name: each for each in vars(found).values() if isinstance(each, OwnTask)}
        if len(tasks) != 1:
            raise ValueError(
                f"{where} has {len(tasks)} functions under @task ({', '.join(tasks) or 'none'}): expected one. Give "
                "the dotted name of the function that is meant."
            )
        (found,) = tasks.values()
    if not isinstance(found, OwnTask):
        raise ValueError(
            f"{where} is {type(found).__name__}: expected a function under @task(components=..., data=...)."
        )
    allowed = {"path", "prompt", "answer", "tag", "name"}
    if unknown := options.keys() - allowed:
        raise ValueError(f"{where} has no option {sorted(unknown)}: expected {', '.join(sorted(allowed))}.")
    if isinstance(options.get("path"), str):
        options["path"] = str(Path(options["path"]).resolve()) if Path(options["path"]).exists() else options["path"]
    return replace(found, **options)


def load_file(path: Path) -> ModuleType:
    """Import a .py file, anew if it was imported before.

    Raises:
        ValueError: There is no such file.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: expected a Python file with a function under @task.")
    name = f"vpo_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None  # a .py file always has them
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    spec.loader.exec_module(module)
    return module


def find_object(dotted: str) -> Any:
    """The module, or the object in a module, of a dotted name; the working directory counts as installed.

    Raises:
        ValueError: It cannot be imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module, _, attribute = dotted.rpartition(".")
    for name, rest in ((dotted, None), (module, attribute)):
        try:
            if name and importlib.util.find_spec(name) is not None:
                found = importlib.import_module(name)
                return found if rest is None else getattr(found, rest)
        except ModuleNotFoundError as error:
            if error.name is not None and not f"{dotted}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
        except AttributeError:
            break
    raise ValueError(f"{dotted!r} cannot be imported from {os.getcwd()}: expected a module, or a name in one.")


def _is_hub_name(name: str) -> bool:
    return name.count("/") <= 1 and not name.startswith((".", "/"))
