from __future__ import annotations

import pytest
import torch

from tests.trainers.healing.rows import ROWS, batch
from trainers import HealingTrainer
from vpo.looped import FixedDepth, Replay
from vpo.looped.consistency import Lookahead
from vpo.looped.convert import convert


def test_the_loss_is_what_plain_formulas_give(heal, student, source):
    weights = {"alpha": 0.3, "early_weight": 0.7, "consistency_weight": 0.2, "distill_temperature": 3.0}
    with torch.no_grad():
        for parameter in student.parameters():  # away from the source, which one loop still is
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
    trainer = heal(**weights, ramp_share=0.0)
    trainer.model.train()
    inputs, seed = batch(), 11
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    trained = inputs["labels"][:, 1:] != -100
    torch.manual_seed(seed)
    loss = trainer.compute_loss(trainer.model, dict(inputs))
    found = torch.autograd.grad(loss, list(student.parameters()))

    torch.manual_seed(seed)
    depths = trainer.args.depth_at(0.0).draw(len(ids), ids.device)
    early_loop = trainer._depth()[2].loop
    assert (depths > early_loop).any() and len(depths.unique()) > 1

    def logits(per_row: torch.Tensor) -> torch.Tensor:
        policy = Replay(per_row[:, None].expand_as(ids))
        return student(ids, attention_mask=mask, depth_policy=policy, use_cache=False).logits[:, :-1]

    target = source(ids, attention_mask=mask).logits[:, :-1].detach()

    def divergence(at: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        p, q = (target / 3.0).log_softmax(-1), (at / 3.0).log_softmax(-1)
        return (p.exp() * (p - q)).sum(-1)[where].sum()

    last = logits(depths)
    cross_entropy = -last.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)[trained].sum()
    deeper = trained & (depths > early_loop)[:, None]
    early = divergence(logits(depths.clamp(max=early_loop)), deeper)
    changes = []
    for row, depth in enumerate(depths.tolist()):
        ahead = Lookahead(FixedDepth(depth))
        student(ids[row : row + 1], attention_mask=mask[row : row + 1], depth_policy=ahead, use_cache=False)
        changes.append(ahead.loss(torch.nn.functional.pad(trained[row : row + 1], (0, 1))) * trained[row].sum())
    expected = 9 * (divergence(last, trained) + 0.7 * early) + 0.3 * cross_entropy + 0.2 * sum(changes)
    expected = expected / trained.sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert early > 0 and sum(changes) > 0, "terms that are 0 prove nothing"
    for one, other in zip(found, torch.autograd.grad(expected, list(student.parameters())), strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-3)


def test_a_perfect_student_has_no_divergence(heal, source):
    trainer = heal(model=convert(source, 1, 2, 1, retention_init=1e-8), alpha=0.0)
    trainer.model.train()
    for _ in range(3):
        assert trainer.compute_loss(trainer.model, batch()).item() == pytest.approx(0, abs=1e-5)


def test_micro_batches_add_up_to_the_batch(heal, student):
    trainer = heal(cap=1, alpha=0.5)  # one loop, so nothing is drawn
    inputs = batch()
    tokens = (inputs["labels"][:, 1:] != -100).sum()
    whole = trainer.compute_loss(trainer.model, dict(inputs), num_items_in_batch=tokens)
    parts = [{key: value[rows] for key, value in inputs.items()} for rows in (slice(0, 2), slice(2, 5))]
    split = sum(trainer.compute_loss(trainer.model, part, num_items_in_batch=tokens) for part in parts)
    assert split.item() == pytest.approx(whole.item(), rel=1e-5)


def test_a_batch_with_nothing_to_learn_gives_a_loss_of_zero(heal):
    trainer = heal(consistency_weight=0.1)
    trainer.model.train()
    inputs = batch()
    inputs["labels"] = torch.full_like(inputs["labels"], -100)
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    assert loss.item() == 0


def test_a_jacobian_weight_makes_one_pass_stretch_less(source, settings, tokenizer):
    from vpo.looped.stability import jacobian_penalty, loop_map

    stretches = {}
    for weight in (0.0, 30.0):
        student = convert(source, 1, 2, 1, retention_init=0.6)
        trainer = HealingTrainer(
            model=student,
            teacher=source,
            args=settings(jacobian_weight=weight, max_steps=12),
            train_dataset=ROWS,
            processing_class=tokenizer,
        )
        trainer.train()
        loop = loop_map(student.eval(), batch()["input_ids"], batch()["attention_mask"])
        torch.manual_seed(0)
        stretches[weight] = jacobian_penalty(loop, loop.trajectory(3)[-1].detach(), mask=loop.mask, probes=8).item()
        shown = [entry["jacobian"] for entry in trainer.state.log_history if "jacobian" in entry]
        assert bool(shown) == bool(weight)
    assert stretches[30.0] < 0.8 * stretches[0.0]
