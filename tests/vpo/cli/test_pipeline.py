"""`vpo pipeline`: its file is checked before anything runs, stages that are done stay done, others go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.vpo.cli.tiny_pipeline import tiny_recipe
from vpo.cli.app import main
from vpo.cli.pipeline.command import run_pipeline
from vpo.cli.pipeline.config import read_pipeline
from vpo.cli.pipeline.jobs import Job, jobs_of

ROOT = Path(__file__).parents[3]
RECIPES = [ROOT / "recipes" / name for name in ("smollm2_cpu.yaml", "qwen3_1.7b_gpu.yaml", "qwen3_1.7b_fsdp2.yaml")]

# A stage that can be killed: four steps of a tenth of a second, each written down, the sum of them its result.
COUNTER = """
import json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1]); at = folder / "progress.json"
step = json.loads(at.read_text()) if at.is_file() else 0
while step < 4:
    time.sleep(.1); step += 1
    at.with_suffix(".tmp").write_text(json.dumps(step)); os.replace(at.with_suffix(".tmp"), at)
    with (folder / "steps.txt").open("a") as file: file.write(f"{step} ")
(folder / "done.json").write_text("{}")
"""


@pytest.fixture
def counting(monkeypatch, tmp_path):
    """A recipe of the stages convert and heal, each of which counts to four."""

    def command(job, pipeline, gpus):
        job.folder.mkdir(parents=True, exist_ok=True)
        return [sys.executable, "-c", COUNTER, str(job.folder)]

    monkeypatch.setattr(Job, "command", command)
    recipe = tiny_recipe(tmp_path)
    content = {key: value for key, value in yaml.safe_load(recipe.read_text()).items() if key in STAGES}
    recipe.write_text(yaml.safe_dump(content))
    return recipe


STAGES = ("out", "model", "convert", "heal")


def run(recipe: Path, **options) -> int:
    given = {"until": None, "redo": None, "smoke": False, "dry_run": False, "sets": [], "command": "vpo pipeline"}
    return run_pipeline(recipe, **{**given, **options})


def steps(recipe: Path, stage: str) -> list[str]:
    return (recipe.parent / "run" / stage / "steps.txt").read_text().split()


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


def test_stages_run_once_and_in_order_and_until_the_one_that_is_named(counting, tmp_path, capsys):
    assert run(counting, until="convert") == 0
    assert not (tmp_path / "run" / "heal").exists()
    (tmp_path / "run" / "heal").mkdir()
    (tmp_path / "run" / "heal" / "done.json").write_text(json.dumps({"steps": 0, "log": []}))
    assert run(counting) == 0  # convert is done, and so is heal
    assert steps(counting, "convert") == ["1", "2", "3", "4"]
    said = capsys.readouterr().err
    assert "to do: convert\n" in said
    assert "done: convert, heal; to do: -" in said


def test_another_setting_of_a_stage_that_has_begun_is_refused_and_redo_begins_again_from_there(counting, tmp_path):
    run(counting, until="convert")
    (tmp_path / "run" / "heal").mkdir()
    with pytest.raises(ValueError, match=r"holds stage convert with other settings \(loops was 2, is 1\).*--redo conv"):
        run(counting, sets=["convert.loops=1"], until="convert")
    assert steps(counting, "convert") == ["1", "2", "3", "4"]
    run(counting, sets=["convert.loops=1"], until="convert", redo="convert")
    assert not (tmp_path / "run" / "heal").exists()  # it read what is no longer there
    assert json.loads((tmp_path / "run" / "pipeline.json").read_text())["stages"]["convert"]["loops"] == 1


def test_a_stage_that_has_not_begun_may_still_change(counting):
    run(counting, until="convert")
    run(counting, until="convert", sets=["heal.max_steps=7"])
    assert json.loads((counting.parent / "run" / "pipeline.json").read_text())["stages"]["heal"]["max_steps"] == 7


def test_a_stage_that_fails_says_its_last_words_and_where_the_rest_is(counting, monkeypatch):
    monkeypatch.setattr(Job, "command", lambda *_: [sys.executable, "-c", "raise ValueError('no such luck')"])
    with pytest.raises(ValueError, match=r"(?s)'convert' ended with status 1.*no such luck.*logs/convert.log"):
        run(counting, until="convert")


def test_a_stage_that_ends_well_without_a_result_is_not_done(counting, monkeypatch):
    monkeypatch.setattr(Job, "command", lambda *_: [sys.executable, "-c", ""])
    with pytest.raises(ValueError, match="'convert' ended with status 0"):
        run(counting, until="convert")


def test_two_runners_of_one_folder_are_not_let_in(counting, tmp_path):
    from vpo.cli.study.runner import only_runner

    with only_runner(tmp_path / "run"), pytest.raises(ValueError, match="another process is working in"):
        run(counting)


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


def start(recipe: Path, *options: str) -> subprocess.Popen[bytes]:
    program = "import sys; from vpo.cli.app import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", program, "pipeline", str(recipe), *options]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition, seconds: float = 300.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_pipeline_killed_inside_of_stages_and_between_them_ends_with_the_same_weights(tmp_path):
    from safetensors.torch import load_file

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, killed = (tiny_recipe(tmp_path / name) for name in ("whole", "killed"))
    assert start(whole, "--until", "train").wait(600) == 0
    out = tmp_path / "killed" / "run"
    began = (
        lambda: (out / "convert" / "done.json").is_file(),
        lambda: any((out / "heal").glob("checkpoint-20/trainer_state.json")),
        lambda: any((out / "train").glob("checkpoint-2/trainer_state.json")),
    )
    for condition in began:
        process = start(killed, "--until", "train")
        wait_for(condition)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not _is_working(out), 30)  # its stage ends with it
    assert not (out / "train" / "done.json").exists()
    assert start(killed, "--until", "train").wait(600) == 0
    for part in ("heal/model", "train"):
        ours, theirs = (load_file(tmp_path / name / "run" / part / "model.safetensors") for name in ("whole", "killed"))
        assert ours.keys() == theirs.keys()
        assert all(bool((ours[key] == theirs[key]).all()) for key in ours), part
    healed = load_file(tmp_path / "whole" / "run" / "heal" / "model" / "model.safetensors")
    assert any(bool((ours[key] != healed[key]).any()) for key in ours)  # reinforcement learning has changed something


def _is_working(out: Path) -> bool:
    """Whether any process still has the run's folder on its command line."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(out).encode() in path.read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
def test_all_stages_of_a_tiny_model_leave_figures_of_every_policy(tmp_path):
    recipe = tiny_recipe(tmp_path)
    assert start(recipe).wait(900) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert list(summary["policies"]) == ["source", "converted", "healed", "trained"]
    assert summary["policies"]["healed"]["answers read"]["mean"] > summary["policies"]["source"]["answers read"]["mean"]
    assert summary["training"]["steps"] == 4
    assert set(summary["search"]["table"]) == {"healed / best-of-n", "trained / best-of-n"}
    assert "trained − healed" in (tmp_path / "run" / "summary.md").read_text()
    before = (tmp_path / "run" / "train" / "model.safetensors").stat().st_mtime_ns
    assert start(recipe).wait(300) == 0  # all is done: nothing runs again
    assert (tmp_path / "run" / "train" / "model.safetensors").stat().st_mtime_ns == before
