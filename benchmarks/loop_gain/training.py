"""Trains the models; each is kept on disk, so that a killed run goes on where it was.

The same sequences in the same order for every arm of a task and seed: lengths grow to the longest over the first 40% of
the updates, whatever the model has learned by then. Loss is that of the last loop that a sequence runs.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from loop_gain.models import Arm, new_model
from loop_gain.tasks import LONGEST, Work, draw
from serial_depth.training import nats

from vpo.looped import DepthPolicy, LoopedForCausalLM

EFFORT = {"addition": 0.5, "a5": 0.75}


@dataclass(frozen=True)
class Plan:
    """Sizes of the study."""

    updates: int = 640  # of an effort of 1
    width: int = 64
    batch: int = 48
    lr: float = 3e-3

    def updates_of(self, task: str, arm: Arm) -> int:
        return round(self.updates * arm.updates * EFFORT[task])


def call(model: LoopedForCausalLM, work: Work, policy: DepthPolicy):
    place = torch.arange(work.ids.shape[1])[None]
    return model(work.ids, attention_mask=work.mask, position_ids=place, use_cache=False, depth_policy=policy)


def length_at(task: str, progress: float) -> int:
    """Length of the training sequences after a share of the updates."""
    return min(LONGEST[task], 2 + int((LONGEST[task] - 1) * progress / 0.4))


def train(task: str, name: str, arm: Arm, seed: int, plan: Plan, folder: Path) -> LoopedForCausalLM:
    """The trained model, read from ``folder`` if it is there."""
    path = folder / f"{task}-{name.replace(', ', '-').replace(' ', '_')}-{seed}.pt"
    key = {"plan": asdict(plan), "arm": asdict(arm)}
    model = new_model(arm, plan.width, seed)
    if path.exists():
        saved = torch.load(path)
        if saved["plan"] == key:
            model.load_state_dict(saved["model"])
            return model.eval()
    model.train()
    began, updates = time.process_time(), plan.updates_of(task, arm)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.lr, weight_decay=0.05, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / updates)))
    )
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1))
    for update in range(updates):
        work = draw(task, plan.batch, length_at(task, update / updates), generator)
        loss = nats(call(model, work, arm.policy).logits, work.labels).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    seconds = time.process_time() - began
    print(f"  {task} {name} seed {seed}: {updates} updates in {seconds:.0f} s, loss {loss.item():.3f}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({"plan": key, "model": model.state_dict(), "cpu_s": seconds}, temporary)
    temporary.replace(path)
    return model.eval()
