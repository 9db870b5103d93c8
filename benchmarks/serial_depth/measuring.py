"""Accuracy against loops of every stopping rule, and what the saved loops are worth on the clock.

Each rule has one setting (a depth, a tolerance, a threshold), which trades loops for accuracy. Two questions are asked.
How good is the signal: how few loops does each rule need for a given accuracy, with the setting that hindsight gives
it? And does a setting transfer: calibrated on lengths seen in training to a given distance from the capped output, as
`vpo depth calibrate` does, what does it do on longer sequences? A mean of loops counts every token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from serial_depth.tasks import TASKS, Batch
from serial_depth.training import Plan, call

from vpo.looped import ACT, DepthPolicy, FixedDepth, FixedPoint, KLExit, LearnedGate, LoopedForCausalLM

ACCURACIES = (0.95, 0.99, 0.999)
TARGET_KL = 0.001  # nats a token, of the calibration
TOLERANCES = (1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
THRESHOLDS = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
KL_THRESHOLDS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4)
EPSILONS = (0.5, 0.3, 0.1, 0.05, 0.01, 0.001)

#: Rule -> (recipe of its model, settings, (setting, cap) -> policy).
RULES: dict[str, tuple[str, Sequence[float], Callable[[float, int], DepthPolicy]]] = {
    "fixed depth": ("random", range(1, 200), lambda n, cap: FixedDepth(min(int(n), cap))),
    "fixed point": ("random", TOLERANCES, lambda tol, cap: _fixed_point(tol, cap, "prefix")),
    "fixed point, each token alone": ("random", TOLERANCES, lambda tol, cap: _fixed_point(tol, cap, "token")),
    "KL exit": ("random", KL_THRESHOLDS, lambda nats, cap: KLExit(nats, cap)),
    "gate, post hoc": ("gate", THRESHOLDS, lambda mass, cap: LearnedGate(mass, cap)),
    "gate, joint": ("joint", THRESHOLDS, lambda mass, cap: LearnedGate(mass, cap)),
    "ACT": ("act", EPSILONS, lambda epsilon, cap: ACT(cap, epsilon)),
}


def _fixed_point(tol: float, cap: int, scope) -> FixedPoint:
    return FixedPoint(tol=tol, cap=cap, patience=0, scope=scope)


@dataclass
class Score:
    """What a policy does on a workload."""

    accuracy: float  # over labelled tokens
    last: float  # of each sequence's last token, the hardest
    loops: float  # mean over all tokens
    passes: float  # mean over sequences of their deepest token: passes of the core at batch 1
    kl: float  # mean nats from the answer at the cap to the answer given


def workload(task: str, lengths: Sequence[int], rows: int, seed: int) -> list[Batch]:
    """``rows`` sequences of each length."""
    generator = torch.Generator().manual_seed(seed)
    return [TASKS[task]().draw(rows, length, generator) for length in lengths]


def cap_of(batch: Batch, spare: int) -> int:
    """Loops after which a sequence counts as done: its length and ``spare`` more."""
    return batch.ids.shape[1] - 1 + spare


@torch.no_grad()
def at_cap(model: LoopedForCausalLM, batches: list[Batch], spare: int) -> list[torch.Tensor]:
    """Log-probabilities (rows, length, vocabulary) of each batch at its cap."""
    return [
        call(model, batch, depth_policy=FixedDepth(cap_of(batch, spare))).logits.log_softmax(-1) for batch in batches
    ]


@torch.no_grad()
def score(
    model: LoopedForCausalLM,
    batches: list[Batch],
    policy: Callable[[int], DepthPolicy],
    spare: int,
    at_cap: list[torch.Tensor],
) -> Score:
    """Run ``policy(cap)`` over batches."""
    totals = dict.fromkeys(("tokens", "right", "rows", "last", "loops", "passes", "kl"), 0.0)
    for batch, capped in zip(batches, at_cap, strict=True):
        out = call(model, batch, depth_policy=policy(cap_of(batch, spare)))
        given = out.logits.log_softmax(-1)
        right = (out.logits.argmax(-1) == batch.labels)[:, 1:].float()
        depth = out.loop_depths.float()
        totals["tokens"] += right.numel()
        totals["rows"] += len(right)
        totals["right"] += right.sum().item()
        totals["last"] += right[:, -1].sum().item()
        totals["loops"] += depth.mean().item() * right.numel()
        totals["passes"] += depth.amax(1).sum().item()
        totals["kl"] += (capped.exp() * (capped - given)).sum(-1)[:, 1:].sum().item()
    tokens, rows = totals["tokens"], totals["rows"]
    return Score(
        totals["right"] / tokens,
        totals["last"] / rows,
        totals["loops"] / tokens,
        totals["passes"] / rows,
        totals["kl"] / tokens,
    )


def sweep(model: LoopedForCausalLM, batches: list[Batch], rule: str, spare: int) -> dict[float, Score]:
    """Every setting of a rule on a workload."""
    _, settings, make = RULES[rule]
    deepest, capped = max(cap_of(batch, spare) for batch in batches), at_cap(model, batches, spare)
    return {
        setting: score(model, batches, lambda cap, setting=setting: make(setting, cap), spare, capped)
        for setting in settings
        if rule != "fixed depth" or setting <= deepest
    }


def cheapest(scores: dict[float, Score], accuracy: float) -> float | None:
    """The setting with the fewest loops among those at least ``accuracy`` accurate; None if there is none."""
    good = [setting for setting, each in scores.items() if each.accuracy >= accuracy]
    return min(good, key=lambda setting: scores[setting].loops) if good else None


def calibrated(scores: dict[float, Score]) -> float:
    """The setting with the fewest loops within ``TARGET_KL`` of the capped output; the closest if none is."""
    good = [setting for setting, each in scores.items() if each.kl <= TARGET_KL]
    return min(good, key=lambda s: scores[s].loops) if good else min(scores, key=lambda s: scores[s].kl)


def quick_plan(quick: bool) -> Plan:
    return Plan(steps=40, gate_steps=10, width=16, batch=8, longest=4) if quick else Plan()
