"""The recipe of a training run, checked at the door: a parser that names the line of a mistake before TRL sees it.

TRL's parser takes a recipe's values as the defaults of its options, and looks at none of them: ``learning_rate: fast``
fails somewhere in the optimizer, and ``evaluate: no``, which YAML takes for false, evaluates.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from trl import TrlParser

from vpo.objective import DIVERSITY, OBJECTIVES
from vpo.tasks.options import named_tasks, task_options
from vpo.yaml_file import Schema, YamlFile, beside, check, read_yaml, ruled, schema_of

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOADING = re.compile(r"LD_|DYLD_|PYTHON(?!HASHSEED$|UNBUFFERED$)|PATH$|BASH_ENV$|ENV$")

_ENVIRONMENT: Schema = {
    "type": "object",
    "description": "Environment variables, set before anything is loaded.",
    "additionalProperties": {
        "anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}]
    },
}


def recipe_schema(kinds: Sequence[type]) -> Schema:
    """Schema of a recipe: the fields of all dataclasses that are made of it, ``env``, and which options a name has."""
    properties: dict[str, Any] = {}
    for kind in kinds:
        properties |= schema_of(kind, from_text=True)["properties"]
    schema = {"type": "object", "properties": {**properties, "env": _ENVIRONMENT}, "additionalProperties": False}
    return ruled(schema, [rule for rule in _rules() if properties.keys() >= rule["then"]["properties"].keys()])


def _rules() -> Iterator[Schema]:
    """Which options go with which name; JSON is text. Of a name that is left out nothing is said: a flag may set it."""
    for written, name in named_tasks():
        yield beside("task", written, "task_options", _or_json(task_options(name)))
    for name, kind in OBJECTIVES.items():
        options = _or_json(schema_of(kind))  # type: ignore[arg-type]  # dataclasses, all of them
        yield beside("objective", name, "objective_options", options)
    for name, diversity in DIVERSITY.items():
        yield beside("diversity", name, "diversity_options", _or_json(schema_of(diversity)))  # type: ignore[arg-type]


def _or_json(options: Schema) -> Schema:
    return {"anyOf": [options, {"type": "string"}]}


def arms_schema(kinds: Sequence[type]) -> Schema:
    """Schema of the arms of a comparison: names, and the fields of a recipe that each sets."""
    arm = recipe_schema(kinds)
    del arm["properties"]["env"]  # of a whole run
    return {"type": "object", "additionalProperties": arm}


class NoSuchOptionError(ValueError):
    """A flag of the command line that no setting has."""


class RecipeParser(TrlParser):
    """TRL's parser, for recipes that were checked.

    A mistake of the file is a ``ValueError`` that names file, line and key; so is one that only shows when the settings
    are put together.
    """

    def __init__(self, kinds: Iterable[type], **options: Any) -> None:
        # A flag cut short is refused like any misspelt one: what it is short for changes with the settings there are
        super().__init__(kinds, allow_abbrev=False, **options)

    def parse_args_and_config(self, args: Iterable[str] | None = None, *rest: Any, **options: Any) -> tuple[Any, ...]:
        """As TRL's; see the class."""
        words = list(sys.argv[1:] if args is None else args)
        file = self._file(words)
        if file is None:
            return super().parse_args_and_config(words, *rest, **options)
        self.check(file)
        try:
            return super().parse_args_and_config(words, *rest, **options)
        except NoSuchOptionError:
            raise  # of the command line, not of the file
        except ValueError as error:
            raise _placed(file, words, _said_plainly(error)) from error
        # The settings' own checks, TRL's and those of transformers, stumble over values that go together with no other
        except (TypeError, KeyError, IndexError, AttributeError, OverflowError, OSError) as error:
            raise _placed(file, words, ValueError(f"{type(error).__name__}: {error}")) from error

    def check(self, file: YamlFile) -> None:
        """Refuse a recipe that no settings can be made of.

        Raises:
            ValueError: Names the lines.
        """
        kinds: Any = self.dataclass_types
        check(file, recipe_schema(kinds))
        for name in file.content.get("env", {}):
            _check_variable(name, file.where(("env", name)))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; a flag that does not exist is refused here, with the one that was meant."""
        found, unknown = super().parse_known_args(args, namespace)
        for word in sorted(unknown, key=lambda word: not word.startswith("--")):
            if word.startswith("--"):
                name = word.partition("=")[0]
                near = difflib.get_close_matches(name, self._option_string_actions, n=1)
                hint = f"did you mean {near[0]}?" if near else "expected a field of the recipe's settings; see --help."
                raise NoSuchOptionError(f"there is no option {name}: {hint}")
            raise NoSuchOptionError(
                f"{word!r} belongs to no option: expected settings as --learning_rate 2e-6 after the recipe."
            )
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Without argparse's usage: two hundred options would hide the message."""
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        print("--help lists the options; flags are spelt as a recipe's keys.", file=sys.stderr)
        raise SystemExit(2)

    @staticmethod
    def _file(words: list[str]) -> YamlFile | None:
        if "--config" not in words[:-1]:
            return None
        path = Path(words[words.index("--config") + 1])
        if not path.is_file():
            raise ValueError(f"there is no recipe {path}: expected a YAML file.")
        return read_yaml(path)


def _check_variable(name: object, where: str) -> None:
    """Refuse what is no name of a variable, or one by which processes load code: that is for the shell to say."""
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        raise ValueError(f"{where}: env has the name {name!r:.80}, expected letters, digits and '_'.")
    if _LOADING.match(name):
        raise ValueError(
            f"{where}: env sets {name}, by which processes are made to load code: expected settings alone. Export it "
            "in your shell if you mean it."
        )


def _placed(file: YamlFile, words: Sequence[str], error: ValueError) -> ValueError:
    """The error with the lines of the keys that it names; a key that a flag set is not where the file has it."""
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    given = {flag.removeprefix("--").replace("-", "_") for flag in flags}
    lines = {place: line for place, line in file.lines.items() if place[0] not in given}
    placed = replace(file, lines=lines).placed(error)
    named = [name for name in sorted(given) if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", str(error))]
    return ValueError(f"{placed} (Set by flags: {', '.join(named)}.)") if named else placed


def _said_plainly(error: ValueError) -> ValueError:
    """Transformers' words about a machine without a GPU name no setting that mends it."""
    if "bf16/gpu" not in str(error):
        return error
    return ValueError(
        "bf16 is on, as it is by default, and there is no GPU that can compute with it: expected one. On a machine "
        "without: use_cpu: true and bf16: false."
    )
