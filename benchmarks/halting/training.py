"""Trains the models of the laboratory; each is kept on disk, so that a killed run goes on where it was.

*FPRM's recipe* (arXiv 2606.18206): an update runs a few loops with gradient, a window, on instances that carry their
state from window to window; one that has settled (residual below ``tol``) or had its windows makes room for a new one.
This is the trunk. The last part of training branches: the trunk goes on as it was (``fprm``), or model and gate learn
together through unrolled loops from the first one: ``loopwm`` (expected loss and the gate's entropy), ``ponder``
(PonderNet), ``act``. ``posthoc`` freezes ``fprm`` and teaches its gate where another loop helps (Ouro's second stage).

Baselines, from scratch: ``trm`` (two states, post-norm, windows as FPRM's, a halting head taught whether the answer is
right) and ``act_scratch`` (plain residuals, ACT throughout). All recipes of a task have as many weights, and as many
updates of the same cost, which is instances times loops with a gradient.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from halting.block import Block, is_right, nats, run, states
from halting.tasks import Batch, Task
from torch import Tensor
from torch.nn import functional as F

from vpo.looped import ACT, FixedPoint
from vpo.looped.depth import LoopCall
from vpo.looped.depth.losses import expected_loss, gate_entropy, improvement_loss, ponder_cost, pondering_loss

BRANCHES = ("fprm", "loopwm", "ponder", "act")
BASELINES = ("trm", "act_scratch")


@dataclass(frozen=True)
class Plan:
    """Sizes of the study."""

    updates: int = 240  # of a window, for a task of effort 1
    width: int = 64
    batch: int = 48
    window: int = 4  # loops with a gradient in an update
    windows: int = 5  # most windows of an instance
    unrolled: int = 12  # loops of the recipes that unroll, all with a gradient
    trunk: float = 0.7  # share of the updates before the branches
    tol: float = 0.1  # FPRM's
    lr: float = 3e-3
    decay: float = 0.01
    gate_lr: float = 0.03
    gate_updates: int = 150  # of ``posthoc``
    prior: float = 0.15  # PonderNet's chance of leaving at a loop
    beta: float = 0.01
    entropy: float = 0.02
    ponder: float = 0.002


class Pool:
    """Instances of one size on their way through the windows."""

    def __init__(self, task: Task, size: int, plan: Plan, rng: np.random.Generator) -> None:
        self.task, self.size, self.plan, self.rng = task, size, plan, rng
        self.sees = task.sees(size)
        self.batch = task.draw("train", plan.batch, size, rng)
        shape = (*self.batch.ids.shape, plan.width)
        self.state, self.second = torch.zeros(shape), torch.zeros(shape)
        # At first the rows are at different windows, so that all windows are trained on from the start.
        self.age = torch.arange(plan.batch) % plan.windows

    def replace(self, done: Tensor) -> None:
        """New instances where ``done`` (B,) or the windows are used up."""
        self.age += 1
        done = done | (self.age >= self.plan.windows)
        if not done.any():
            return
        fresh = self.task.draw("train", int(done.sum()), self.size, self.rng)
        old = self.batch  # copied: the backward pass still needs what stands in it
        ids, labels, hardness = old.ids.clone(), old.labels.clone(), old.hardness.clone()
        ids[done], labels[done], hardness[done] = fresh.ids, fresh.labels, fresh.hardness
        self.batch = Batch(self.size, ids, labels, hardness)
        self.age[done] = 0
        self.state = self.state.masked_fill(done[:, None, None], 0.0)
        self.second = self.second.masked_fill(done[:, None, None], 0.0)


def residual(old: Tensor, new: Tensor, tol: float = 0.1) -> Tensor:
    """(B,) FPRM's: of the instance's token that changes most."""
    policy = FixedPoint(tol, norm="max", reference="current", patience=0)
    everywhere = torch.ones(old.shape[:2], dtype=torch.bool)
    return policy.start(LoopCall(everywhere, torch.zeros(len(old), dtype=torch.long))).measure(old, new).amax(1)


def window_loss(model: Block, pool: Pool, plan: Plan) -> Tensor:
    """Loss after a window of FPRM's, and the pool moved on."""
    before = state = pool.state
    for after in states(model, pool.batch, pool.sees, plan.window, pool.state):
        before, state = state, after
    loss = nats(model.read(state), pool.batch.labels).mean()
    pool.state = state.detach()
    pool.replace(residual(before.detach(), pool.state) < plan.tol)
    return loss


def trm_cycle(model: Block, signal: Tensor, answer: Tensor, latent: Tensor, sees: Tensor, loops: int) -> Iterator:
    """``loops - 1`` updates of the latent, then one of the answer; answer and latent after each of them."""
    for _ in range(loops - 1):
        latent = model.step(latent, signal + answer, sees)
        yield answer, latent
    answer = model.step(answer, latent, sees)
    yield answer, latent


def trm_loss(model: Block, pool: Pool, plan: Plan) -> Tensor:
    signal = model.signal(pool.batch.ids)
    *_, (answer, latent) = trm_cycle(model, signal, pool.state, pool.second, pool.sees, plan.window)
    logits, gate = model.read(answer), model.gate_logits(answer)
    right = is_right(logits, pool.batch.labels)
    loss = nats(logits, pool.batch.labels).mean()
    loss = loss + 0.5 * F.binary_cross_entropy_with_logits(gate, right.float())
    pool.state, pool.second = answer.detach(), latent.detach()
    pool.replace(gate.detach() > 0)
    return loss


def unrolled_loss(model: Block, batch: Batch, sees: Tensor, recipe: str, plan: Plan) -> Tensor:
    everyone = torch.ones(len(batch.ids), 1)
    if recipe.startswith("act"):
        out = run(model, batch, sees, ACT(plan.unrolled))
        assert out.remainder is not None
        loss = nats(model.read(out.state), batch.labels).mean()
        return loss + plan.ponder * ponder_cost(out.depth[:, None], out.remainder[:, None], everyone)
    each = list(states(model, batch, sees, plan.unrolled))
    losses = torch.stack([nats(model.read(state), batch.labels) for state in each]).unsqueeze(-1)
    gates = torch.stack([model.gate_logits(state) for state in each]).unsqueeze(-1)
    if recipe == "ponder":
        return pondering_loss(losses, gates, everyone, plan.beta, plan.prior)
    return expected_loss(losses, gates, everyone, 0.0) - plan.entropy * gate_entropy(gates, everyone)


def train(task: Task, recipe: str, seed: int, plan: Plan, folder: Path) -> Block:
    """The trained model, read from ``folder`` if it is there."""
    path = folder / f"{task.name}-{recipe}-{seed}.pt"
    updates, branch = max(2, round(plan.updates * task.effort)), 0
    key = {**asdict(plan), "updates": updates}
    torch.manual_seed(seed)
    model = Block(task, plan.width, {"trm": "post", "act_scratch": "plain"}.get(recipe, "coupled"))
    if path.exists():
        saved = torch.load(path)
        if saved["plan"] == key:
            model.load_state_dict(saved["model"])
            return model.eval()
    began = time.process_time()
    if recipe in BRANCHES:
        branch = round(updates * plan.trunk)
        model.load_state_dict(train(task, "trunk", seed, plan, folder).state_dict())
        began = time.process_time()
    if recipe == "posthoc":
        model.load_state_dict(train(task, "fprm", seed, plan, folder).state_dict())
        _teach_gate(model, task, seed, plan)
    else:
        end = round(updates * plan.trunk) if recipe == "trunk" else updates
        _descend(model, task, recipe, seed, plan, range(branch, end), updates)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    seconds = time.process_time() - began
    torch.save({"plan": key, "model": model.state_dict(), "cpu_s": seconds}, temporary)
    temporary.replace(path)
    return model.eval()


def _descend(model: Block, task: Task, recipe: str, seed: int, plan: Plan, span: range, updates: int) -> None:
    rng = np.random.default_rng([seed, span.start])
    unrolls = recipe in ("loopwm", "ponder", "act", "act_scratch")
    optimizer = _optimizer(model, plan)
    pools = {} if unrolls else {size: Pool(task, size, plan, rng) for size in task.sizes}
    recent: list[float] = []
    # An unrolled update has as many loops with a gradient as a window's, on fewer instances that run more of them.
    rows = plan.batch * plan.window // plan.unrolled
    for update in span:
        warm = min(1.0, (update - span.start + 1) / 30)
        weights, gate = optimizer.param_groups
        weights["lr"] = plan.lr * warm * 0.5 * (1 + math.cos(math.pi * update / updates))
        gate["lr"] = plan.gate_lr * warm
        size = task.sizes[int(rng.integers(len(task.sizes)))]
        if unrolls:
            batch = task.draw("train", rows, size, rng)
            loss = unrolled_loss(model, batch, task.sees(size), recipe, plan)
        else:
            loss = (trm_loss if recipe == "trm" else window_loss)(model, pools[size], plan)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent = [*recent[-49:], loss.item()]
        if update % 100 == 0:
            print(f"  {task.name} {recipe} seed {seed}: {update}/{span.stop}, loss {np.mean(recent):.3f}", flush=True)


def _optimizer(model: Block, plan: Plan) -> torch.optim.Optimizer:
    gate = list(model.gate.parameters())  # one linear unit, which has little time to learn
    rest = [p for p in model.parameters() if all(p is not each for each in gate)]
    groups = [{"params": rest, "weight_decay": plan.decay}, {"params": gate, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.lr, betas=(0.9, 0.95))


def _teach_gate(model: Block, task: Task, seed: int, plan: Plan) -> None:
    """The gate alone, on what the frozen model does through all its windows."""
    rng = np.random.default_rng([seed, 77])
    loops, seen = plan.window * plan.windows, []
    with torch.no_grad():
        for size in task.sizes:
            batch, sees = task.draw("train", max(8, 8 * plan.batch // len(task.sizes)), size, rng), task.sees(size)
            each = list(states(model, batch, sees, loops))
            pooled = torch.stack([F.rms_norm(state, state.shape[-1:]).mean(1) for state in each])
            seen.append((pooled, torch.stack([nats(model.read(state), batch.labels) for state in each])))
        pooled, losses = (torch.cat(each, 1) for each in zip(*seen, strict=True))
    optimizer = torch.optim.AdamW(model.gate.parameters(), lr=0.05, weight_decay=0.0)
    for _ in range(plan.gate_updates):
        gates = model.gate(pooled)
        loss = improvement_loss(losses.unsqueeze(-1), gates, torch.ones(pooled.shape[1], 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
