"""Supervised training of a halting gate through TRL's trainer."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from trl import SFTConfig

from trainers import GateTrainer
from vpo.looped import LearnedGate

ROWS = Dataset.from_dict({"prompt": ["go red", "go blue", "now green"] * 8, "completion": ["red", "blue", "one"] * 8})


@pytest.fixture
def supervised(arguments):
    kept = ("output_dir", "use_cpu", "bf16", "gradient_checkpointing", "report_to", "disable_tqdm", "seed")
    plain = {key: arguments[key] for key in kept}
    return SFTConfig(**plain, save_strategy="no", max_steps=25, learning_rate=2e-2, max_length=None, logging_steps=1)


def trainer_of(policy, tokenizer, supervised, **options):
    return GateTrainer(model=policy, args=supervised, train_dataset=ROWS, processing_class=tokenizer, **options)


@pytest.mark.parametrize("method", ["joint", "posthoc", "act"])
def test_every_method_lowers_its_loss_and_moves_the_gate(method, make_policy, tokenizer, supervised):
    policy = make_policy(halt_gate=True)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    trainer = trainer_of(policy, tokenizer, supervised, method=method, cap=3)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    moved = {name for name, p in policy.named_parameters() if not torch.equal(p, before[name])}
    gate = {"model.halt_gate.weight", "model.halt_gate.bias"}
    assert moved == gate if method == "posthoc" else moved > gate
    policy.depth_policy = LearnedGate(0.5, cap=3)  # and now it can be used
    assert policy(torch.tensor([[3, 4, 5]])).loop_depths.max() <= 3


def test_a_model_without_a_gate_and_settings_without_sense_are_refused(make_policy, tokenizer, supervised):
    with pytest.raises(ValueError, match=r"has no halting gate: build the model with LoopedConfig\(halt_gate=True\)"):
        trainer_of(make_policy(), tokenizer, supervised)
    with pytest.raises(ValueError, match="method is 'magic'"):
        trainer_of(make_policy(halt_gate=True), tokenizer, supervised, method="magic")
    with pytest.raises(ValueError, match="cap is 1"):
        trainer_of(make_policy(halt_gate=True), tokenizer, supervised, cap=1)
