"""The guide to screening holds against the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from typer.main import get_command

from vpo.cli.app import app
from vpo.cli.search.config import parse_config
from vpo.cli.search.parts import make_budget, make_problems, make_screen

GUIDE = (Path(__file__).parents[3] / "docs" / "screening.md").read_text()


def test_the_example_reaches_its_target_with_fewer_evaluations(capsys):
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(source, "docs/screening.md", "exec"), {})
    plain, screened = (line.split() for line in capsys.readouterr().out.splitlines())
    assert plain[0] == screened[0] == "True"
    assert int(screened[1]) < 0.6 * int(plain[1]) and int(screened[2]) > int(screened[1])


def test_the_file_has_the_defaults_that_it_explains():
    (source,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    config = parse_config(yaml.safe_load(source), "the guide")
    screen = make_screen(config)
    defaults = type(screen)()
    assert {**screen.describe(), "options": {}} == defaults.describe() and screen.options == {"most": 400}
    assert make_budget(config).max_answers == 500 and len(make_problems(config)) == 1


def test_the_commands_have_the_options_that_are_named():
    known = get_command(app).commands["search"].commands
    commands = [shlex.split(line) for line in re.findall(r"^    (vpo search .*)$", GUIDE, re.MULTILINE)]
    assert [words[2] for words in commands] == ["run", "show", "replay"]
    for words in commands:
        options = {option for parameter in known[words[2]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
