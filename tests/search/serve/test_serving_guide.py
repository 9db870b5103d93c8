"""Code, commands and claims of docs/serving.md hold against what they speak of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from search.openai_sampler import OpenAISampler
from search.serve.question import _HONOURED, _NEUTRAL, _OF_ENDPOINT
from search.serve.server import TOKEN_VARIABLE
from tests.search.test_trainer_sampler import Letters, make_trainer
from vpo.cli.app import app

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "serving.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^    (\S.*)$", GUIDE, re.MULTILINE)]


def run(source: str) -> dict:
    found: dict = {}
    exec(compile(source, "docs/serving.md", "exec"), found)
    return found


def test_a_policy_is_served_and_sampled_in_one_program(capsys):
    (source,) = [source for source in CODE if "serving(" in source]
    found = run(source)
    assert found["generation"].text == "<answer_1> 11 </answer_1>"
    assert found["report"].repeats and found["report"].varies


def test_the_sampler_is_one_and_so_it_is_with_each_option_that_is_commented_out(monkeypatch):
    (source,) = [source for source in CODE if "max_retries=6" in source]
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token-of-many-characters")
    assert isinstance(run(source)["sampler"], OpenAISampler)
    every = re.sub(r"# (api_key_env|dialect|seed_bits)=", r"\1=", source)
    assert every.count("# ") < source.count("# ")
    assert isinstance(run(every)["sampler"], OpenAISampler)


def test_a_trainer_is_watched(tmp_path):
    (source,) = [source for source in CODE if "def watch" in source]
    trainer = make_trainer(tmp_path, steps=2)
    found = run(source.replace("every=50", "every=2").replace("4000", "60").replace("256", "6"))
    found["watch"](trainer, [Letters()])
    trainer.train()
    assert any("search/best" in entry for entry in trainer.state.log_history)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[:2] == ["vpo", "serve"]], ids=" ".join)
def test_a_command_has_options_that_there_are(words):
    serve = typer.main.get_command(app).commands["serve"]
    known = {option for parameter in serve.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_fields_that_it_names_are_there():
    known = _HONOURED | set(_NEUTRAL) | set().union(*_OF_ENDPOINT.values())
    (table,) = re.findall(r"\| what \| how \|\n(.*?)\n\n", GUIDE, re.DOTALL)
    named = set(re.findall(r"`([a-z_]+)`", table)) | {"ask_for_answers"}
    assert len(named) > 8 and named <= known
    assert TOKEN_VARIABLE in GUIDE


def test_the_configuration_of_openevolve_is_yaml_and_asks_the_server():
    config = yaml.safe_load((ROOT / "docs" / "openevolve.yaml").read_text())
    assert config["llm"]["api_base"] == "http://127.0.0.1:8000/v1"
    assert config["llm"]["api_key"] == f"${{{TOKEN_VARIABLE}}}"
