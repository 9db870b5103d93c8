from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from tests.trainers.healing.rows import ROWS, batch
from trainers import HealingTrainer


def test_healing_brings_deep_loops_back_to_the_source(heal, student, source):
    inputs = batch()
    ids = inputs["input_ids"]

    @torch.no_grad()
    def divergence(num_loops: int) -> float:
        p = source(ids).logits.log_softmax(-1)
        q = student.eval()(ids, num_loops=num_loops).logits.log_softmax(-1)
        return (p.exp() * (p - q)).sum(-1).mean().item()

    before = {n: divergence(n) for n in (1, 2, 3)}
    assert before[1] == pytest.approx(0, abs=1e-5) and before[3] > 0.05
    rows = Dataset.from_dict({"input_ids": [row.tolist() for row in torch.randint(3, 16, (64, 8))]})
    trainer = heal(max_steps=60, alpha=0.0, ramp_share=0.3, per_device_train_batch_size=16, learning_rate=5e-3)
    trainer.train_dataset = rows.add_column("labels", rows["input_ids"])
    trainer.train()
    after = {n: divergence(n) for n in (1, 2, 3)}
    print(f"KL to the source by loops, before {before}, after {after}")
    assert after[3] < 0.5 * before[3]
    assert after[2] < before[2]


def test_evaluation_runs_at_the_cap(heal, student, source):
    trainer = heal(alpha=0.0)
    trainer.eval_dataset = trainer.train_dataset
    measured = trainer.evaluate()
    assert measured["eval_depth"] == 3
    assert measured["eval_loss"] == pytest.approx(4 * measured["eval_kl"], rel=1e-3)  # temperature 2, squared
    assert "eval_early_kl" not in measured


def test_the_teacher_stays_as_it_was(heal, source):
    before = copy.deepcopy(source.state_dict())
    source.train()
    trainer = heal()
    trainer.train()
    assert not source.training
    assert all(p.grad is None and not p.requires_grad for p in source.parameters())
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    taught = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not taught & {id(p) for p in source.parameters()}


def test_a_teacher_may_be_given_by_name(heal, source, tmp_path):
    source.save_pretrained(tmp_path / "source")
    trainer = heal(teacher=str(tmp_path / "source"), teacher_model_init_kwargs={"attn_implementation": "eager"})
    trainer.train()
    assert trainer.teacher.config._attn_implementation == "eager"


def test_adapters_heal_too(student, source, settings, tokenizer):
    from peft import LoraConfig

    trainer = HealingTrainer(
        model=student,
        teacher=source,
        args=settings(consistency_weight=0.1, ramp_share=0.0),
        train_dataset=ROWS,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"),
    )
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed and all("lora_" in name for name in changed)
    depths = [entry["depth"] for entry in trainer.state.log_history if "depth" in entry]
    assert max(depths) > 1


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_heal_as_one(tmp_path):
    """The same global batch, at a fixed depth so that nothing is drawn: the same weights in the end."""
    found = {}
    for processes in (1, 2):
        script = str(Path(__file__).with_name("healing_run.py"))
        out = tmp_path / f"{processes}.json"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        root = str(Path(__file__).parents[3])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        command = [*launcher, script, str(out), str(8 // processes)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr[-3000:]
        found[processes] = json.loads(out.read_text())
    assert found[2]["loss"] == pytest.approx(found[1]["loss"], rel=1e-4)
    assert found[2]["depth"] == found[1]["depth"]
    assert found[2]["weights"] == pytest.approx(found[1]["weights"], rel=1e-4, abs=1e-5)
    assert found[2]["mixed_depths"] > 1  # and at random depths, different on both, it runs to the end
