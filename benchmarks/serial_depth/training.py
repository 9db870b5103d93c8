"""Trains the models that the benchmark compares; each is kept on disk, so that a killed run goes on where it was.

Four recipes on the same layers, data and steps:

* ``random``: loss after a random number of loops, up to ten more than the sequence is long; gradient through the last
  eight. Fixed depths and every rule that needs no training are read off this model.
* ``gate``: the same model, frozen, with a gate taught where another loop helps (Ouro's second stage).
* ``joint``: model and gate under the expected loss over exits with an entropy bonus (Ouro's first stage).
* ``act``: adaptive computation time with a ponder cost.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from serial_depth.tasks import TASKS, VOCABULARY, Batch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig

from vpo.looped import ACT, FixedDepth, LoopedConfig, LoopedForCausalLM, RandomDepth
from vpo.looped.depth.losses import expected_loss, improvement_loss, ponder_cost

RECIPES = ("random", "gate", "joint", "act")


@dataclass(frozen=True)
class Plan:
    """Sizes of the study."""

    steps: int = 2000  # of a5; addition is learned in half as many
    gate_steps: int = 400
    width: int = 64
    batch: int = 64
    longest: int = 12  # tokens of the longest training sequence
    spare: int = 10  # loops beyond a sequence's length
    lr: float = 2e-3
    entropy: float = 0.05  # of the joint recipe
    ponder: float = 0.003  # of ACT; graver costs kept it from learning the longer sequences

    @property
    def cap(self) -> int:
        return self.longest + self.spare


def new_model(plan: Plan, seed: int) -> LoopedForCausalLM:
    layers = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=plan.width,
        intermediate_size=2 * plan.width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        rope_theta=1000.0,
        initializer_range=0.1,
    )
    torch.manual_seed(seed)
    parts = {"prelude_layers": 1, "core_layers": 1, "coda_layers": 0}
    return LoopedForCausalLM(LoopedConfig(layer_config=layers, injection="concat", halt_gate=True, **parts))


def call(model: LoopedForCausalLM, batch: Batch, **options):
    return model(batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False, **options)


def nats(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def _loss(model: LoopedForCausalLM, batch: Batch, recipe: str, plan: Plan) -> tuple[Tensor, Tensor]:
    """The recipe's loss, and the logits by which training goes on to longer sequences."""
    length = batch.ids.shape[1] - 1
    cap = min(plan.cap, length + plan.spare)
    everywhere = torch.ones_like(batch.ids, dtype=torch.bool)
    if recipe == "random":
        out = call(model, batch, depth_policy=RandomDepth(max(1, length // 2), cap, grad_loops=8))
        return nats(out.logits, batch.labels).mean(), out.logits
    if recipe == "act":
        out = call(model, batch, depth_policy=ACT(cap))
        cost = ponder_cost(out.loop_depths, out.loop_remainders, everywhere)
        return nats(out.logits, batch.labels).mean() + plan.ponder * cost, out.logits
    out = call(model, batch, depth_policy=FixedDepth(cap), output_loop_states=True)
    losses = torch.stack([nats(model.lm_head(hidden), batch.labels) for hidden in out.loop_hidden_states])
    gates = torch.stack(list(out.loop_gate_logits))
    if recipe == "gate":
        return improvement_loss(losses.detach(), gates, everywhere), out.logits
    return expected_loss(losses, gates, everywhere, plan.entropy), out.logits


def train(task_name: str, recipe: str, seed: int, plan: Plan, folder: Path) -> LoopedForCausalLM:
    """The trained model, read from ``folder`` if it is there."""
    path = folder / f"{task_name}-{recipe}-{seed}.pt"
    key = asdict(plan)
    if path.exists():
        saved = torch.load(path)
        if saved["plan"] == key:
            model = new_model(plan, seed)
            model.load_state_dict(saved["model"])
            return model.eval()
    task = TASKS[task_name]()
    model = train(task_name, "random", seed, plan, folder) if recipe == "gate" else new_model(plan, seed)
    if recipe == "gate":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("halt_gate" in name)
    model.train()
    steps = plan.gate_steps if recipe == "gate" else plan.steps // task.ease
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups["injection" in name or "halt_gate" in name].append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": groups[False], "weight_decay": 0.05}, {"params": groups[True], "weight_decay": 0.0}],
        lr=plan.lr * (5 if recipe == "gate" else 1),
        betas=(0.9, 0.98),
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
    )
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1))
    length, recent = (plan.longest if recipe == "gate" else 2), []
    for step in range(steps):
        batch = task.draw(plan.batch, length, generator)
        loss, logits = _loss(model, batch, recipe, plan)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        recent = [*recent[-19:], (logits.argmax(-1) == batch.labels).float().mean().item()]
        if len(recent) == 20 and sum(recent) / 20 > task.advance_at and length < plan.longest:
            length, recent = length + 1, []
        if step % 200 == 199:
            accuracy = sum(recent) / max(len(recent), 1)
            print(
                f"  {task_name} {recipe} seed {seed}: step {step + 1}/{steps}, length {length}, {accuracy:.3f}",
                flush=True,
            )
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({"plan": key, "model": model.state_dict(), "length": length}, temporary)
    temporary.replace(path)
    return model.eval()
