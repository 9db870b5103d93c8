"""Supervised training of a halting gate through TRL's trainer."""

from __future__ import annotations

import math

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


@pytest.mark.parametrize("method", ["joint", "posthoc", "act"])
def test_micro_batches_add_up_to_the_batch(method, make_policy, tokenizer, supervised):
    trainer = trainer_of(make_policy(halt_gate=True), tokenizer, supervised, method=method, cap=3)
    ids = torch.randint(3, 14, (6, 7), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:3, :4] = -100
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    tokens = (labels[:, 1:] != -100).sum()
    whole = trainer.compute_loss(trainer.model, dict(inputs), num_items_in_batch=tokens)
    parts = [{name: value[rows] for name, value in inputs.items()} for rows in (slice(0, 2), slice(2, 6))]
    split = sum(trainer.compute_loss(trainer.model, part, num_items_in_batch=tokens) for part in parts)
    assert split.item() == pytest.approx(whole.item(), rel=1e-5)
    assert whole.item() == pytest.approx(trainer.compute_loss(trainer.model, dict(inputs)).item(), rel=1e-5)


def test_documents_in_one_row_do_not_see_each_other(make_policy, tokenizer, supervised):
    trainer = trainer_of(make_policy(halt_gate=True), tokenizer, supervised, method="joint", cap=3)
    rows = torch.randint(3, 14, (2, 5), generator=torch.Generator().manual_seed(1))
    labels = rows.clone()
    labels[:, 0] = -100  # the first token of a document is not predicted by the one before
    apart = trainer.compute_loss(trainer.model, {"input_ids": rows, "labels": labels})
    packed = {
        "input_ids": rows.view(1, 10),
        "labels": labels.view(1, 10),
        "position_ids": torch.arange(5).repeat(2)[None],
    }
    assert trainer.compute_loss(trainer.model, packed).item() == pytest.approx(apart.item(), rel=1e-5)


def test_entropy_of_the_gate_is_rewarded(make_policy, tokenizer, supervised):
    policy = make_policy(halt_gate=True)
    ids = torch.randint(3, 14, (2, 5), generator=torch.Generator().manual_seed(1))
    losses = [
        trainer_of(policy, tokenizer, supervised, method="joint", cap=3, entropy=weight)
        .compute_loss(policy, {"input_ids": ids, "labels": ids})
        .item()
        for weight in (0.0, 1.0)
    ]
    halt = 1 / (1 + math.exp(2.0))  # of a fresh gate
    entropy = -halt * math.log(halt) - (1 - halt) * math.log(1 - halt)
    assert losses[0] - losses[1] == pytest.approx(entropy, rel=1e-3)


def test_a_model_without_a_gate_and_settings_without_sense_are_refused(make_policy, tokenizer, supervised):
    with pytest.raises(ValueError, match=r"has no halting gate: build the model with LoopedConfig\(halt_gate=True\)"):
        trainer_of(make_policy(), tokenizer, supervised)
    with pytest.raises(ValueError, match="method is 'magic'"):
        trainer_of(make_policy(halt_gate=True), tokenizer, supervised, method="magic")
    with pytest.raises(ValueError, match="cap is 1"):
        trainer_of(make_policy(halt_gate=True), tokenizer, supervised, cap=1)
