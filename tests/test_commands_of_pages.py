"""Every `vpo` command that a page, a recipe, an example or a message names is one; a block of YAML is a file of ours.

A line of its own is a whole command: it is parsed by the command itself, with its values, in a folder where the files
that it names exist. A command within a sentence may leave out what is clear there: it and its options have to exist.
"""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tests.checkout import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "recipes/**/*.md")
ALSO = ("*.yaml", "recipes/**/*.yaml", "examples/*.py", ".github/**/*.yml", "pyproject.toml", "benchmarks/*.py")
SOURCES = tuple(f"{package}/**/*.py" for package in ("vpo", "eval", "search", "trainers"))
_VARIABLES = r"(?:[A-Z][A-Z_]*=\S+ )*"
LINE = re.compile(rf"^(?: {{4}}|#\s+|\$ ){_VARIABLES}(vpo [a-z-].*)$", re.MULTILINE)
WITHIN = re.compile(rf"(?<!prints )`{_VARIABLES}(vpo [^`\n]+)`")  # what an example prints is an objective's name
PLACEHOLDERS = {"...", "|", ">"}


def texts(patterns: tuple[str, ...]) -> dict[str, str]:
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def found(pattern: re.Pattern[str], patterns: tuple[str, ...]) -> list[Any]:
    """Pages and commands, each command of a page once."""
    commands = {(page, command) for page, text in texts(patterns).items() for command in pattern.findall(text)}
    return [pytest.param(page, command, id=f"{page}: {command[:60]}") for page, command in sorted(commands)]


@functools.cache
def vpo_command() -> Any:
    from vpo.cli.app import app

    return typer.main.get_command(app)


@functools.cache
def recipe_options() -> set[str]:
    from trainers.vpo import make_parser

    return {*make_parser()._option_string_actions}


def leaf(page: str, words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words after its name."""
    command, rest = vpo_command(), words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if command.name == "runs" and rest[0] not in command.commands:
            rest = ["list", *rest]  # `vpo runs FOLDER` is short for it
        assert rest[0] in command.commands, f"{page}: {command.name} has no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def said(command: str) -> list[str]:
    """Its words, without a comment and what the shell does with what it prints."""
    words = shlex.split(command, comments=True)
    return words[: min([words.index(each) for each in PLACEHOLDERS if each in words], default=len(words))]


def whole_line(page: str, command: str, folder: Path) -> None:
    words, rest = leaf(page, said(command))
    for word in rest:  # files that it names
        if not word.startswith("-") and not Path(word).is_absolute() and ":" not in word and "=" not in word:
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
    if hasattr(words, "commands"):
        assert rest, f"{page}: {command} is no whole command"
        return
    context = words.make_context(words.name, list(rest))
    if words.name == "train":  # what follows the recipe goes to it
        from trainers.vpo import make_parser

        make_parser().parse_known_args(context.args)


@pytest.mark.parametrize(("page", "command"), found(LINE, PAGES + ALSO))
def test_a_line_that_is_a_command_is_parsed_by_it(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole_line(page, command, tmp_path)


@pytest.mark.parametrize(("page", "command"), found(WITHIN, PAGES + ALSO + SOURCES))
def test_a_command_that_is_named_exists_with_its_options(page, command):
    words = said(command.replace("[", "").replace("]", "").replace("{", "").replace("}", ""))
    command_found, rest = leaf(page, words)
    known = {name for each in command_found.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    if command_found.name == "train":
        known |= recipe_options()
    options = {word.partition("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)}
    assert options <= known, page


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("vpo monitor runs/x --evry 4", "evry"),
        ("vpo monitor runs/x --every often", "valid integer"),
        ("vpo monitor runs/x --fail-on alarm", "'alarm' is not one of"),
        ("vpo depth calibrate looped --target-kl 0.01", "text"),
        ("vpo trian recipe.yaml", "no command trian"),
        ("vpo train recipe.yaml --learning_rat 1", "learning_rat"),
        ("vpo train recipe.yaml --learning_rate fast", "2"),
        ("vpo train", "recipe"),
    ],
)
def test_a_wrong_command_would_be_found(command, wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((Exception, SystemExit), match=wrong):
        whole_line("a page", command, tmp_path)


BLOCKS = [
    pytest.param(block, id=f"{page}: {block.splitlines()[0][:50]}")
    for page, text in texts(PAGES).items()
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_yaml_is_a_file_of_ours(block, tmp_path):
    from eval.facets.written_rules import read_rules
    from vpo.cli.schema import KINDS, schema_of_file
    from vpo.yaml_file import mistakes, read_yaml

    path = tmp_path / "block.yaml"
    path.write_text(block)
    if isinstance(yaml.safe_load(block), list):
        assert read_rules(path).labels
        return
    content = read_yaml(path).content
    schemas = {kind: schema_of_file(kind) for kind in KINDS}
    wrong = {kind: mistakes(content, {**schema, "required": []}) for kind, schema in schemas.items()}  # perhaps a part
    assert not all(wrong.values()), wrong
