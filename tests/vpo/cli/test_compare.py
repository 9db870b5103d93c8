"""`vpo compare`: what an arm changes in a recipe, what is asked for at the door, and a comparison that is killed."""

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

from trainers import VPOConfig
from vpo.cli.app import main
from vpo.cli.compare.arms import ARMS, read_arms, recipe_of_arm
from vpo.cli.compare.runs import Plan
from vpo.record import RunFile

RECIPE = {
    "model_name_or_path": "m",
    "num_answers": 3,
    "num_generations": 8,
    "per_device_train_batch_size": 16,
    "objective": "vpo",
    "objective_options": {"coverage": 3.0},
    "answer_credit": "gain",
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
}
ROOT = Path(__file__).parents[3]


def plan(tmp_path, arms=("grpo", "vpo", "recipe"), recipe=RECIPE, **options):
    settings = {"seeds": 2, "budget": 1000, "answers": 30, "prompts": 10, "out": tmp_path, **options}
    return Plan(recipe, read_arms(arms, None), **settings)


# --- arms ---


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_setting_that_the_trainer_takes(name, tmp_path):
    recipe = recipe_of_arm(RECIPE, ARMS[name])
    fields = {key: value for key, value in recipe.items() if key != "model_name_or_path"}
    args = VPOConfig(str(tmp_path), use_cpu=True, bf16=False, **fields)
    assert args.num_answers * args.num_generations == 24  # as many answers a prompt as the recipe
    assert args.num_answers * args.generation_batch_size == 48  # and as many prompts a step
    assert (args.objective_options or {}) == ARMS[name].get("objective_options", {})
    assert args.answer_credit == "set"  # nothing is left of the recipe's own objective
    assert args.learning_rate == 1e-6


def test_the_recipe_as_it_stands_is_an_arm_and_ones_own_are_too(tmp_path):
    file = tmp_path / "arms.yaml"
    file.write_text("anchored:\n  objective: vpo\n  objective_options: {anchor: 0.3}\n")
    arms = read_arms(["recipe"], file)
    assert recipe_of_arm(RECIPE, arms["recipe"]) == RECIPE
    anchored = recipe_of_arm(RECIPE, arms["anchored"])
    assert anchored["objective_options"] == {"anchor": 0.3}
    assert "answer_credit" not in anchored


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gpro"], "there is no objective 'gpro': expected recipe or one of grpo, dr_grpo"),
        (["vpo", "vpo"], "'vpo' is named twice"),
        ([], "nothing to compare"),
    ],
)
def test_arms_that_are_none_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        read_arms(names, None)


def test_a_file_without_arms_is_refused(tmp_path):
    (tmp_path / "arms.yaml").write_text("- vpo\n")
    with pytest.raises(ValueError, match="holds a list: expected keys and values"):
        read_arms(["vpo"], tmp_path / "arms.yaml")
    (tmp_path / "arms.yaml").write_text("vpo: {objective: vpo}\n")
    with pytest.raises(ValueError, match="names the arm 'vpo': expected a name of its own"):
        read_arms(["vpo"], tmp_path / "arms.yaml")


@pytest.mark.parametrize("name", ["..", ".hidden", "../other", "a/b", " a", "a\nb", "base", "baseline"])
def test_an_arm_whose_name_is_no_folder_of_its_own_is_refused(tmp_path, name):
    """Its runs lie in a folder of that name; and what begins as the base does is answered like it, untrained."""
    (tmp_path / "arms.yaml").write_text(yaml.safe_dump({name: {"objective": "vpo"}}))
    with pytest.raises(ValueError, match="as its runs lie in a folder of that name"):
        read_arms(["vpo"], tmp_path / "arms.yaml")


# --- the plan ---


def test_the_base_is_asked_in_both_forms_and_seeds_come_one_after_the_other(tmp_path):
    runs = plan(tmp_path).runs()
    assert [(run.arm, run.seed) for run in runs] == [
        ("base", 0), ("base, single answers", 0),
        ("grpo", 0), ("vpo", 0), ("recipe", 0), ("grpo", 1), ("vpo", 1), ("recipe", 1),
    ]  # fmt: skip
    assert [run.recipe["num_generations_eval"] for run in runs[:3]] == [10, 30, 30]
    for run in runs:
        assert run.recipe["per_device_eval_batch_size"] % run.recipe["num_generations_eval"] == 0
        assert run.recipe["max_generated_tokens"] == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"answers": 10}, "10 test answers do not divide into completions of 3"),
        ({"recipe": {**RECIPE, "lr_scheduler_type": "cosine"}}, "lr_scheduler_type is 'cosine'"),
        ({"recipe": {"num_answers": 3}}, "lr_scheduler_type is 'linear'"),
    ],
)
def test_plans_that_cannot_be_fair_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plan(tmp_path, **options)


def test_a_folder_of_another_recipe_is_not_continued(tmp_path):
    plan(tmp_path).runs()[2].prepare()
    plan(tmp_path).runs()[2].prepare()  # the same: goes on
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        plan(tmp_path, budget=2000).runs()[2].prepare()


def test_what_is_no_recipe_is_refused(tmp_path, capfd):
    assert main(["compare", str(tmp_path / "none.yaml")]) == 1
    assert "there is no recipe" in capfd.readouterr().err
    (tmp_path / "list.yaml").write_text("- a\n")
    assert main(["compare", str(tmp_path / "list.yaml")]) == 1
    assert "holds a list: expected keys and values" in capfd.readouterr().err


# --- the real thing ---


@pytest.fixture
def maze_recipe(tmp_path):
    from vpo.tasks import get_task
    from vpo.tasks.tiny_policy import tiny_policy

    policy, tokenizer = tiny_policy(get_task("maze"), 3, 0)
    policy.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    recipe = {
        "model_name_or_path": str(tmp_path / "policy"),
        "task": "maze",
        "task_rows": 64,
        "num_answers": 3,
        "ask_for_answers": False,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 4,
        "num_generations": 2,
        "max_completion_length": 43,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "save_steps": 1,
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_comparison_goes_on_where_it_was_and_ends_in_a_table(maze_recipe, tmp_path):
    out = tmp_path / "out"
    start = "import sys; from vpo.cli.app import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "compare", str(maze_recipe), "--objectives", "grpo,vpo"]
    command += ["--seeds", "1", "--budget", "600", "--answers", "6", "--prompts", "4", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    checkpoints = out / "grpo" / "seed0"
    while not list(checkpoints.glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    evaluated = {path: path.stat().st_mtime_ns for path in (out / "base" / "seed0" / "rollouts-eval").iterdir()}
    assert not (out / "grpo" / "seed0" / "done.json").exists()

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path: path.stat().st_mtime_ns for path in evaluated} == evaluated  # the base was not asked again
    report = json.loads((out / "comparison.json").read_text())
    assert list(report["table"]) == ["base", "base, single answers", "grpo", "vpo"]
    for arm in ("grpo", "vpo"):
        assert 600 <= report["table"][arm]["generated tokens"]["mean"] < 600 + 12 * 43  # at most one step over
        assert report["table"][arm]["best@6"]["mean"] is not None
    for metric in ("best@1", "E_w[best@6]", "distinct"):
        assert metric in done.stdout
    assert (out / "comparison.html").stat().st_size > 1_000_000  # Plotly is inside
    record = RunFile(out).read()
    assert record["kind"] == "compare" and [each["changes"] for each in record["resumed"]] == [[]]
    assert (record["ended"]["step"], record["ended"]["of"]) == (4, 4)
    of_a_run = RunFile(out / "grpo" / "seed0").read()
    assert of_a_run["settings"]["training"]["objective"] == "grpo" and len(of_a_run["resumed"]) == 1
