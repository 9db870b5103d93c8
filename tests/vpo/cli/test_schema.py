"""What `vpo schema` prints, against the files of this repository and against mistakes in them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from trainers.vpo import SETTINGS, make_parser
from vpo.cli.app import main
from vpo.cli.schema import KINDS
from vpo.yaml_file import check, read_yaml

ROOT = Path(__file__).parents[3]
PIPELINES = ("smollm2_cpu", "qwen3_1.7b_gpu", "qwen3_1.7b_fsdp2")  # see test_pipeline_schema
RECIPES = [
    *(path for path in (ROOT / "recipes").glob("*.yaml") if path.stem not in PIPELINES),
    *(ROOT / "recipes/echo_chamber").glob("*.yaml"),
]
RECIPES = sorted(path for path in RECIPES if path.name != "base.yaml")  # of the benchmark itself


@pytest.fixture(scope="module")
def printed():
    """Kind -> schema, as the command prints it."""
    import contextlib
    import io

    found = {}
    for kind in KINDS:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["schema", kind]) == 0
        found[kind] = json.loads(out.getvalue())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_printed_is_a_schema(printed, kind):
    Draft202012Validator.check_schema(printed[kind])
    assert printed[kind]["title"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_allowed_by_both(printed, path):
    make_parser().check(read_yaml(path))
    Draft202012Validator(printed["train"]).validate(yaml.safe_load(path.read_text()))


def test_a_recipe_may_set_what_the_settings_have_and_nothing_else(printed):
    fields = {each.name for kind in SETTINGS for each in dataclasses.fields(kind) if each.init}
    assert printed["train"]["properties"].keys() == fields | {"env"}
    options = {action.dest for action in make_parser()._actions} - {"help"}
    assert fields == options, "the parser takes other keys than the schema says"
    assert all("description" in each for each in printed["train"]["properties"].values())


MISTAKES = {
    "train": [
        ("num_answers: 3", "num_anwers: 3", "there is no setting 'num_anwers': expected a known one. Did you mean num"),
        ("learning_rate: 1.0e-6", "learning_rate: quick", "learning_rate is 'quick': expected a number"),
        ("num_iterations: 1", "num_iterations: 1.5", "num_iterations is 1.5: expected a whole number"),
        ("bf16: true", "bf16: maybe", "bf16 is 'maybe': expected true or false"),
        ("objective: vpo", "objective: [vpo]", "objective is a list: expected text"),
        (
            "vllm_mode: colocate",
            "evaluate: no",
            "evaluate is false: expected 'no', 'at_end' or 'only'. Put it in quotes",
        ),
        ("lr_scheduler_type: constant", "lr_scheduler_type: constnt", "Did you mean 'constant'?"),
        ("  max_tests: 16", "  max_tests: 16\n  max_tests: 8", "the key 'max_tests' stands there a second time"),
        ("task: code", "task: [code", "this is not YAML"),
    ]
}


@pytest.mark.parametrize(("was", "now", "message"), MISTAKES["train"])
def test_a_mistake_in_a_recipe_is_named_by_file_line_and_key(printed, tmp_path, capsys, was, now, message):
    text = (ROOT / "recipes/code.yaml").read_text()
    line = text[: text.index(f"\n{was}") + 1].count("\n") + now.count("\n") + 1
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(f"\n{was}", f"\n{now}", 1))
    assert main(["train", str(path), "--dry_run"]) == 1
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert f"mine.yaml, line {line}: " in said or "not YAML" in message
    if "second time" not in message and "not YAML" not in message:
        assert not Draft202012Validator(printed["train"]).is_valid(yaml.safe_load(path.read_text()))


def test_a_mistake_that_shows_later_names_the_lines_that_made_it(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("output_dir: x\nobjective: grpo\n\nnum_answers: 3\nuse_cpu: true\nbf16: false\n")
    assert main(["train", str(path)]) == 1
    assert "(Set there: objective in line 2, num_answers in line 4.)" in capsys.readouterr().err


@pytest.mark.parametrize("processes", [[], ["--processes", "2"]])
def test_a_mistake_is_said_once_before_processes_are_started(tmp_path, capfd, processes):
    path = tmp_path / "mine.yaml"
    path.write_text("output_dir: x\nnum_answer: 3\n")
    assert main(["train", str(path), *processes]) == 1
    assert capfd.readouterr().err.count("line 2: there is no setting 'num_answer'") == 1


def test_a_flag_that_does_not_exist_is_answered_by_the_one_that_was_meant(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("output_dir: x\n")
    assert main(["train", str(tmp_path / "mine.yaml"), "--learning_rte", "2"]) == 1
    assert "there is no option --learning_rte: did you mean --learning" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "mine.yaml"), "--learning_rate", "fast"]) == 2
    said = capsys.readouterr().err
    assert "argument --learning_rate/--learning-rate: invalid float value: 'fast'" in said and len(said) < 300


def test_arms_are_checked_like_recipes(printed, tmp_path, capsys):
    recipe, arms = tmp_path / "recipe.yaml", tmp_path / "arms.yaml"
    recipe.write_text("output_dir: x\n")
    arms.write_text("anchored:\n  objective: vpo\n  objektive_options: {anchor: 0.3}\n")
    assert main(["compare", str(recipe), "--arms", str(arms)]) == 1
    assert "arms.yaml, line 3: there is no setting 'anchored.objektive_options'" in capsys.readouterr().err
    assert not Draft202012Validator(printed["arms"]).is_valid(yaml.safe_load(arms.read_text()))
    recipe.write_text("output_dir: x\nnum_answer: 3\n")
    assert main(["compare", str(recipe)]) == 1
    assert "recipe.yaml, line 2: there is no setting 'num_answer'" in capsys.readouterr().err


@pytest.mark.parametrize("guide", ["search_runs", "search-compare", "screening"])
def test_files_of_the_guides_are_allowed_by_both(printed, guide, tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / f"{guide}.md").read_text(), re.S)
    found = [block for block in blocks if yaml.safe_load(block).keys() >= {"budget"}]
    assert found
    for block in found:
        schema = printed["search-compare" if "policies" in block else "search"]
        content = yaml.safe_load(block)
        wanted = {key: value for key, value in schema.items() if key != "required"}  # a guide shows parts, too
        Draft202012Validator(wanted).validate(content)
        (tmp_path / "file.yaml").write_text(block)
        check(read_yaml(tmp_path / "file.yaml"), wanted)


SEARCHES = {
    "search": "problem: maze\nsampler: {name: model, model: x}\n"
    "procedure: lexicase\nbudget:\n  max_answers: 5\nout: x\n",
    "search-compare": "problems: maze\npolicies:\n  p: some/model\nbudget: 600\n",
}


@pytest.mark.parametrize(
    ("kind", "was", "now", "message"),
    [
        ("search", "problem: maze", "problems: maze", "line 1: there is no setting 'problems'"),
        ("search", "  max_answers: 5", "  max_answer: 5", "line 5: there is no setting 'budget.max_answer'"),
        ("search", "  max_answers: 5", "  max_answers: five", "line 5: budget.max_answers is 'five': expected a whole"),
        ("search", "name: model", "nam: model", "line 2: sampler lacks name"),
        ("search", "out: x", "mode: fast", "line 6: mode is 'fast': expected 'auto', 'rounds' or 'stream'"),
        ("search", "out: x", "out: x\nout: y", "line 7: the key 'out' stands there a second time, after line 6"),
        ("search-compare", "problems: maze", "problems: {nam: maze}", "line 1: there is no setting 'problems.nam'"),
        ("search-compare", "p: some/model", "p: {modl: x}", "line 3: there is no setting 'policies.p.modl'"),
        ("search-compare", "budget: 600", "budget: lots", "line 4: budget is 'lots': expected a whole number"),
        ("search-compare", "budget: 600", "budget: 600\ntargets: [most]", "targets[0] is 'most': expected a number or"),
    ],
)
def test_a_mistake_in_the_file_of_a_search_is_named_by_line_and_key(printed, tmp_path, capsys, kind, was, now, message):
    path = tmp_path / "search.yaml"
    text = SEARCHES[kind]
    Draft202012Validator(printed[kind]).validate(yaml.safe_load(text))
    path.write_text(text.replace(was, now))
    words = ["search", "run"] if kind == "search" else ["search", "compare"]
    assert main([*words, str(path)]) == 1
    assert message in capsys.readouterr().err
    if "second time" not in message:
        assert not Draft202012Validator(printed[kind]).is_valid(yaml.safe_load(path.read_text()))
