"""Training from a recipe, as `python -m trainers.vpo --config` does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.vpo import alert_sinks, main, make_parser
from vpo.cli.app import main as app_main
from vpo.cli.train import launch_command

CPU = ["--use_cpu", "--bf16", "false", "--gradient_checkpointing", "false", "--report_to", "none"]


@pytest.fixture
def saved(make_policy, tokenizer, tmp_path):
    make_policy().save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    return tmp_path / "policy"


@pytest.fixture
def recipe(saved, tmp_path):
    """A recipe with a local dataset and rewards from a file next to it."""
    rows = [{"prompt": f"go {c}", "target": c} for c in ("red", "blue", "green", "one")]
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "my_rewards.py").write_text(
        "def hits(completions, target, **kwargs):\n"
        "    return [float(t in c) for c, t in zip(completions, target, strict=True)]\n"
        "def short(completions, **kwargs):\n"
        "    return [1 - len(c.split()) / 20 for c in completions]\n"
    )
    settings = {
        "model_name_or_path": str(saved),
        "dataset_name": str(tmp_path / "rows"),
        "reward_funcs": ["my_rewards.hits", "my_rewards.short"],
        "output_dir": str(tmp_path / "out"),
        "objective": "vpo",
        "objective_options": {"coverage": 1.0},
        "alpha": "1/d",
        "num_answers": 2,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 10,
        "max_steps": 2,
        "learning_rate": 1e-3,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in settings.items()))
    return path


def run(*arguments: str) -> None:
    main(*make_parser().parse_args_and_config([*arguments, *CPU]))


def test_a_recipe_trains_and_leaves_a_model_and_its_rollouts(recipe, tmp_path):
    command = [sys.executable, "-m", "trainers.vpo", "--config", str(recipe), "--max_steps", "1", *CPU]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert len(list((tmp_path / "out" / "rollouts").glob("*.parquet"))) == 1  # the flag went before the recipe


def test_a_dry_run_takes_one_step_and_saves_nothing(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("--config", str(recipe), "--dry_run")
    said = capsys.readouterr().out
    assert "2 prompts x 4 completions x 2 answers a step" in said
    assert "objective vpo, components hits" in said
    assert not (tmp_path / "out").exists()


def test_a_training_leaves_its_process_group_when_it_is_done(recipe, tmp_path, monkeypatch):
    """A process that exits with the group's threads running may be aborted, after all is saved."""
    from accelerate import Accelerator

    left: list[bool] = []
    monkeypatch.setattr(Accelerator, "end_training", lambda self: left.append((tmp_path / "out").exists()))
    monkeypatch.chdir(tmp_path)
    run("--config", str(recipe), "--max_steps", "1")
    assert left == [True]


def test_a_task_brings_prompts_rewards_and_its_tag(tmp_path, capsys):
    from vpo.tasks import get_task
    from vpo.tasks.tiny_policy import tiny_policy

    policy, tokenizer = tiny_policy(get_task("maze"), 2, 0)
    policy.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    flags = {
        "model_name_or_path": str(tmp_path / "policy"),
        "output_dir": str(tmp_path / "out"),
        "task": "maze",
        "num_answers": "2",
        "ask_for_answers": "false",
        "per_device_train_batch_size": "4",
        "num_generations": "4",
        "max_completion_length": "24",
    }
    run(*(word for name, value in flags.items() for word in (f"--{name}", value)), "--dry_run")
    assert "components completion, gold, diamonds, no_lava" in capsys.readouterr().out


def test_the_command_starts_the_recipe_on_one_process_or_on_several(recipe, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert app_main(["train", str(recipe), "--dry_run", *CPU]) == 0
    assert "on 1 process(es)" in capfd.readouterr().out
    assert app_main(["train", str(recipe), "--processes", "2", "--dry_run", *CPU]) == 0
    assert "on 2 process(es)" in capfd.readouterr().out
    assert app_main(["train", str(tmp_path / "none.yaml")]) == 1
    assert "there is no recipe" in capfd.readouterr().err


def test_a_misspelt_key_is_one_message_and_no_traceback(recipe, capfd):
    recipe.write_text(recipe.read_text() + "\nobjectiv: grpo\n")
    assert app_main(["train", str(recipe), *CPU]) == 1
    said = capfd.readouterr().err
    assert "there is no setting 'objectiv': expected a known one. Did you mean objective?" in said
    assert "Traceback" not in said


def test_gpus_are_started_by_accelerate_with_its_configuration():
    launch, recipe = ["-m", "accelerate.commands.launch"], ["-m", "trainers.vpo", "--config", "r.yaml"]
    config = Path("fsdp.yaml")  # of two machines with eight each: the number is its own
    assert launch_command(None, 8, config, recipe[2:])[1:] == [*launch, "--config_file", "fsdp.yaml", *recipe]
    assert launch_command(4, 8, config, recipe[2:])[1:] == [
        *[*launch, "--config_file", "fsdp.yaml", "--num_processes", "4"],
        *recipe,
    ]
    assert launch_command(None, 8, None, recipe[2:])[1:] == [*launch, "--num_processes", "8", *recipe]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--reward_funcs", "shortest"], "there is no reward function 'shortest'"),
        (["--reward_funcs", "my_rewards.long"], "'my_rewards.long' cannot be imported"),
        (["--task", "maze"], "a task brings both"),
    ],
)
def test_a_recipe_that_does_not_fit_says_why(change, message, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run("--config", str(recipe), *change)


def test_a_recipe_without_data_or_reward_says_what_is_missing(saved, tmp_path):
    base = ["--model_name_or_path", str(saved), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="there is no reward: set reward_funcs"):
        run(*base)
    with pytest.raises(ValueError, match="there is nothing to train on"):
        run(*base, "--reward_funcs", "think_format_reward")
    with pytest.raises(ValueError, match="model_name_or_path is not set"):
        run("--output_dir", str(tmp_path / "out"))


def test_alarms_go_where_the_run_is_reported_to_and_alerts_are_shown():
    assert alert_sinks([]) == ["console"]
    assert alert_sinks(["tensorboard", "trackio"]) == ["console", "trackio"]


def test_a_recipe_can_have_the_run_watched(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("--config", str(recipe), "--monitor", "watch", "--monitor_correct", "hits")
    written = {path.name for path in (tmp_path / "out" / "monitor").iterdir()}
    assert {"report.html", "report.md", "report.json", "looks.jsonl"} <= written
