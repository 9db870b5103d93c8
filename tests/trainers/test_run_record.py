"""Every run of the trainer leaves ``run.json`` in its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainers import VPOConfig, VPOTrainer
from vpo.record import RunFile


def short(completions, **kwargs):
    return [1 - len(each.split()) / 20 for each in completions]


@pytest.fixture
def train(make_policy, tokenizer, prompts, arguments):
    def run(checkpoint=None, **changes):
        config = VPOConfig(**{**arguments, "save_strategy": "steps", "save_steps": 1, **changes})
        trainer = VPOTrainer(make_policy(), [short], config, prompts, processing_class=tokenizer)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer, RunFile(config.output_dir).read()

    return run


def test_a_run_leaves_its_record_and_a_resumed_one_says_what_changed(train, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    trainer, found = train(hub_token="hf_abcdefghijklmnopqrstuvwxyz")
    assert found["kind"] == "train" and found["processes"] == 1
    assert found["seeds"] == {"seed": 3, "data_seed": None, "full_determinism": False}
    training = found["settings"]["training"]
    assert training["objective"] == "vpo" and training["learning_rate"] == 1e-2
    assert found["settings"]["parts"]["rewards"] == ["short"] and found["settings"]["parts"]["rows"] == 4
    assert (found["ended"]["step"], found["ended"]["of"], found["ended"]["why"]) == (2, 2, "all steps done")
    folder = Path(trainer.args.output_dir)
    assert "hf_abcdefghijklmnopqrstuvwxyz" not in (folder / "run.json").read_text()

    _, found = train(str(folder / "checkpoint-1"), learning_rate=1e-3, max_steps=3)
    (entry,) = found["resumed"]
    assert entry["step"] == 1
    changed = {each["name"].split(".")[-1]: (each["before"], each["now"]) for each in entry["changes"]}
    assert changed == {"learning_rate": (1e-2, 1e-3), "max_steps": (2, 3)}
    assert found["settings"]["training"]["learning_rate"] == 1e-2
    assert found["ended"]["step"] == 3


def test_a_run_that_ends_at_its_token_budget_is_at_its_end(train):
    _, found = train(max_generated_tokens=1, max_steps=50)
    assert (found["ended"]["step"], found["ended"]["of"], found["ended"]["why"]) == (1, 1, "token budget spent")


def test_only_the_main_process_writes(make_policy, tokenizer, prompts, arguments):
    trainer = VPOTrainer(make_policy(), [short], VPOConfig(**arguments), prompts, processing_class=tokenizer)
    trainer.state.is_world_process_zero = False
    trainer.run_record.on_train_begin(trainer.args, trainer.state, trainer.control)
    trainer.run_record.on_train_end(trainer.args, trainer.state, trainer.control)
    assert not (Path(trainer.args.output_dir) / "run.json").exists()
    trainer.remove_callback(trainer.run_record)
    trainer.train()
    assert not (Path(trainer.args.output_dir) / "run.json").exists()


@pytest.mark.distributed
def test_two_processes_write_one_record(tmp_path):
    (tmp_path / "run").mkdir()
    script = Path(__file__).with_name("scored_run.py")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    command = [sys.executable, *launcher, str(script), str(tmp_path / "run"), "vpo"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = tmp_path.rglob("run.json*")
    found = json.loads(path.read_text())
    assert found["processes"] == 2 and found["resumed"] == [] and found["ended"] is not None
    assert found["command"][1:4] == launcher[:3]  # what was typed, not what the launcher made of it
