"""The file of `vpo pipeline`: mistakes are named before anything runs, sizes and values laid over it, jobs made."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.checkout import ROOT
from tests.vpo.cli.tiny_pipeline import tiny_recipe
from vpo.cli.app import main
from vpo.cli.pipeline.config import read_pipeline
from vpo.cli.pipeline.jobs import jobs_of

RECIPES = [ROOT / "recipes" / name for name in ("smollm2_cpu.yaml", "qwen3_1.7b_gpu.yaml", "qwen3_1.7b_fsdp2.yaml")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"heal": {"max_stepz": 3}},
            "there is no setting 'heal.max_stepz'",
        ),
        (
            {"train": {"learning_rat": 1}},
            "there is no setting 'train.learning_rat': expected a known one. Did you mean learning_rate?",
        ),
        ({"convert": {"cores": 3}}, "there is no setting 'convert.cores': expected a known one. Did you mean core"),
        (
            {"search": {"budgets": 3}},
            "there is no setting 'search.budgets': expected a known one. Did you mean budget?",
        ),
        (
            {"evaluate": {"prompt": 3}},
            "there is no setting 'evaluate.prompt': expected a known one. Did you mean prompts?",
        ),
        ({"monitor": {"right": "x"}}, "there is no setting 'monitor.right'"),
        ({"models": {}}, "line 49: there is no setting 'models': expected a known one. Did you mean model?"),
        ({"model": {"wheel": "some==1"}}, "expected `name` or `wheel`, one of them"),
        ({"train": {"output_dir": "x"}}, "train sets 'output_dir', which the pipeline itself sets"),
        (
            {"evaluate": {"policies": ["best"]}},
            "evaluate.policies[0] is 'best': expected 'source', 'converted'",
        ),
        ({"heal": {"texts": "none.py:examples"}}, "heal.texts names none.py, and there is no such file in"),
        ({"train": {"task": "none.py"}}, "train.task names none.py, and there is no such file in"),
        ({"heal": {"learning_rate": "fast"}}, "heal.learning_rate is 'fast': expected a number"),
        ({"convert": {"loops": "2"}}, "convert.loops is '2': expected a whole number"),
        ({"monitor": {"fail_on": "worst"}}, "monitor.fail_on is 'worst': expected 'warning' or 'critical'"),
        ({"search": {"seeds": "three"}}, "search.seeds is 'three': expected a whole number"),
        ({"smoke": {"train": {"max_step": 1}}}, "there is no setting 'smoke.train.max_step': expected a known one."),
        ({"smoke": {"train": {"output_dir": "x"}}}, "train sets 'output_dir', which the pipeline itself sets"),
    ],
)
def test_a_key_that_a_stage_does_not_know_is_refused_before_anything_runs(changes, said, tmp_path, capsys):
    recipe = tiny_recipe(tmp_path, **changes)
    assert main(["pipeline", str(recipe)]) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_a_file_that_names_nothing_to_do_is_refused(tmp_path, capsys):
    (tmp_path / "pipe.yaml").write_text("model: {name: x}")
    assert main(["pipeline", str(tmp_path / "pipe.yaml")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "has no stage besides model: expected some of model, convert, heal" in said


def test_a_stage_without_what_it_needs_is_refused(tmp_path):
    recipe = tiny_recipe(tmp_path)
    content = yaml.safe_load(recipe.read_text())
    del content["train"]
    recipe.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="has the stage evaluate and lacks train"):
        read_pipeline(recipe)


def test_a_policy_of_a_stage_that_is_not_there_is_refused(tmp_path):
    recipe = tiny_recipe(tmp_path)
    content = yaml.safe_load(recipe.read_text())
    del content["heal"]
    recipe.write_text(yaml.safe_dump(content | {"evaluate": {"policies": ["healed"]}}))
    with pytest.raises(ValueError, match="there is no policy 'healed', expected some of source, converted, trained"):
        read_pipeline(recipe)


def test_a_mistake_of_the_small_size_or_of_a_single_value_names_its_place(tmp_path):
    recipe = tiny_recipe(tmp_path, smoke={"search": {"count": "x"}})
    line = recipe.read_text().split("\n").index("    count: x") + 1
    with pytest.raises(ValueError, match=rf"recipe.yaml, line {line}: smoke.search.count is 'x': expected a whole"):
        read_pipeline(recipe)
    with pytest.raises(ValueError, match=r"--set search.count=y: search.count is 'y': expected a whole number"):
        read_pipeline(tiny_recipe(tmp_path), sets=["search.count=1", "search.count=y"])


def test_numbers_that_yaml_takes_for_text_are_numbers_of_healing(tmp_path):
    from vpo.cli.pipeline.stages import stage_schema
    from vpo.yaml_file import spelt_out

    given = read_pipeline(tiny_recipe(tmp_path, heal={"learning_rate": "1e-4", "max_steps": "3", "bf16": "no"}))
    known = stage_schema("heal")["properties"]
    found = {key: spelt_out(value, known[key]) for key, value in given.stages["heal"].items() if key in known}
    assert (found["learning_rate"], found["max_steps"], found["bf16"]) == (1e-4, 3, False)
    assert found["texts"] == given.stages["heal"]["texts"]
    assert spelt_out("no", known["save_strategy"]) == "no", "a choice stays what it is"


def test_the_small_size_and_single_values_are_laid_over_the_rest(tmp_path):
    recipe = tiny_recipe(tmp_path, smoke={"heal": {"max_steps": 1}, "seed": 3})
    small = read_pipeline(recipe, smoke=True, sets=["heal.cap=3", "train.learning_rate=1e-2"])
    assert (small.seed, str(small.out)) == (3, f"{tmp_path / 'run'}-smoke")
    assert (small.stages["heal"]["max_steps"], small.stages["heal"]["cap"], small.stages["heal"]["rows"]) == (1, 3, 64)
    assert read_pipeline(recipe).stages["heal"]["max_steps"] == 40
    with pytest.raises(ValueError, match="expected a stage, a key and a value"):
        read_pipeline(recipe, sets=["heal.cap"])


def test_null_takes_a_key_out_so_that_one_may_stand_in_for_another(tmp_path):
    recipe = tmp_path / "wheel.yaml"
    recipe.write_text("model: {wheel: some-model==1.0}\nconvert: {core: 1, loops: 2}\n")
    found = read_pipeline(recipe, sets=["model.wheel=null", "model.name=here", "convert.loops=null"])
    assert found.stages == {"model": {"name": "here"}, "convert": {"core": 1}}
    with pytest.raises(ValueError, match="`name` or `wheel`"):
        read_pipeline(recipe, sets=["model.wheel=null"])


def test_policies_are_asked_as_the_training_asks_and_their_folders_are_the_stages_own(tmp_path):
    pipeline = read_pipeline(tiny_recipe(tmp_path))
    jobs = {job.name: job for job in jobs_of(pipeline)}
    assert list(jobs) == [
        "convert", "heal", "train", "evaluate source", "evaluate converted", "evaluate healed", "evaluate trained",
        "monitor", "search",
    ]  # fmt: skip
    models = {name: job.recipe["model_name_or_path"] for name, job in jobs.items() if job.recipe}
    run = tmp_path / "run"
    assert models == {
        "train": str(run / "heal" / "model"),
        "evaluate source": str(tmp_path / "source"),
        "evaluate converted": str(run / "convert"),
        "evaluate healed": str(run / "heal" / "model"),
        "evaluate trained": str(run / "train"),
    }
    asked = ("task", "num_answers", "ask_for_answers", "max_completion_length")
    assert len({json.dumps([job.recipe[key] for key in asked]) for job in jobs.values() if job.recipe}) == 1


def test_without_loops_and_healing_training_starts_from_the_source(tmp_path):
    recipe = tiny_recipe(tmp_path)
    content = yaml.safe_load(recipe.read_text())
    del content["convert"], content["heal"]
    recipe.write_text(yaml.safe_dump(content))
    pipeline = read_pipeline(recipe)
    assert (pipeline.start, pipeline.policies("evaluate")) == ("source", ["source", "trained"])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_checkout_are_read(recipe, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert list(read_pipeline(recipe).stages) == ["model", "convert", "heal", "train", "evaluate", "monitor", "search"]
