"""The guide to running a search holds against the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from typer.main import get_command

from tests.search.test_cascade_on_code import write_data
from vpo.cli.app import app
from vpo.cli.search.config import parse_config
from vpo.cli.search.parts import make_budget, make_problems, make_procedure, make_sampling

GUIDE = (Path(__file__).parents[2] / "docs" / "search_runs.md").read_text()


def test_the_example_runs_and_solves_its_problem(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(source, "docs/search_runs.md", "exec"), {})
    first = capsys.readouterr().out
    assert first.startswith("1.0 True ")
    exec(compile(source, "docs/search_runs.md", "exec"), {})
    assert capsys.readouterr().out == first


def test_the_file_of_a_search_is_one():
    _, source = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    config = parse_config(yaml.safe_load(source), "the guide")
    assert make_budget(config).max_completion_tokens == 20000 and make_sampling(config).max_new_tokens == 43
    assert make_procedure(config) is not None and config.sampler["name"] == "model"


def test_the_file_with_a_cascade_makes_one(tmp_path):
    source, _ = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    content = yaml.safe_load(source)
    content["problem"]["path"] = write_data(tmp_path)
    config = parse_config(content, "the guide")
    (problem,) = make_problems(config)
    assert problem.describe()["cascade"] == {"share": 0.25, "bar": 0.2, "floor": 0.0, "seed": 0}
    assert len(problem.first_stage("print(1)")) == 2 and make_procedure(config)(problem) is not None


def test_the_commands_have_the_options_that_are_named():
    commands = [shlex.split(line) for line in re.findall(r"^    (vpo search .*)$", GUIDE, re.MULTILINE)]
    known = get_command(app).commands["search"].commands
    assert [words[2] for words in commands] == ["run", "resume", "replay", "show"]
    for words in commands:
        options = {option for parameter in known[words[2]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
