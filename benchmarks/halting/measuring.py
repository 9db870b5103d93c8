"""Accuracy, loops and calibration of every stopping rule, read off one long run of each model.

An instance stops as a whole and what stands beside it changes nothing, so what a rule would do is seen in a run to the
cap: a rule gives each instance and loop a score, computed by the library's own policy where it has one, and stops at
the first loop whose score is below its setting. (`tests/halting` holds this against the loop that does stop.)

Shape letters: L loops, N instances.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from halting.block import Block, is_right, nats, run, states
from halting.tasks import Batch, Task
from halting.training import trm_cycle
from torch import Tensor

from vpo.looped import Acceleration, FixedPoint, KLExit, LatentDifference
from vpo.looped.depth import LoopCall, LoopStep

SLACK = 0.005  # of accuracy, within which two are called equal
UNROLLED = "fixed point, unrolled"  # on a model trained through unrolled loops, beside that model's own fixed depths
#: Rule -> the recipe of its model. "argmin CE" sees the answer, and no rule can.
RULES = {
    "fixed depth": "fprm",
    "fixed point": "fprm",
    "latent difference": "fprm",
    "acceleration": "fprm",
    "KL": "fprm",
    "gate, post hoc": "posthoc",
    "gate, entropy": "loopwm",
    "PonderNet": "ponder",
    "ACT": "act",
    UNROLLED: "loopwm",
    "oracle: argmin CE": "fprm",
    "oracle: first right": "fprm",
}
ORACLES = ("oracle: argmin CE", "oracle: first right")


@dataclass
class Curves:
    """What a model does loop by loop: right (L, N), nats (L, N), and each rule's score (L, N)."""

    right: np.ndarray
    nats: np.ndarray
    scores: dict[str, np.ndarray]
    hardness: np.ndarray  # (N,)

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """To keep on disk; `of_arrays` reads them."""
        scores = {f"score {rule}": each for rule, each in self.scores.items()}
        all_ = {"right": self.right, "nats": self.nats, "hardness": self.hardness, **scores}
        return {prefix + name: each for name, each in all_.items()}

    @staticmethod
    def of_arrays(arrays: Any, prefix: str) -> Curves:
        mark = f"{prefix}score "
        scores = {name[len(mark) :]: arrays[name] for name in arrays if name.startswith(mark)}
        return Curves(*(arrays[prefix + name] for name in ("right", "nats")), scores, arrays[f"{prefix}hardness"])

    def take(self, chosen: np.ndarray) -> Curves:
        """Some of the instances."""
        scores = {rule: each[:, chosen] for rule, each in self.scores.items()}
        return Curves(self.right[:, chosen], self.nats[:, chosen], scores, self.hardness[chosen])

    @staticmethod
    def join(parts: list[Curves]) -> Curves:
        def along(each: list[np.ndarray]) -> np.ndarray:
            return np.concatenate(each, axis=-1)

        scores = {rule: along([part.scores[rule] for part in parts]) for rule in parts[0].scores}
        right, losses = along([part.right for part in parts]), along([part.nats for part in parts])
        return Curves(right, losses, scores, along([part.hardness for part in parts]))


@torch.no_grad()
def curves(model: Block, batches: list[Batch], task: Task, recipe: str, cap: int) -> Curves:
    """Run to the cap and note what each rule of the recipe's model sees."""
    return Curves.join([(_trm if recipe == "trm" else _curves)(model, b, task, recipe, cap) for b in batches])


def _curves(model: Block, batch: Batch, task: Task, recipe: str, cap: int) -> Curves:
    sees, rows = task.sees(batch.size), len(batch.ids)
    everywhere = torch.ones_like(batch.ids, dtype=torch.bool)
    call = LoopCall(everywhere, torch.zeros(rows, dtype=torch.long))
    residual = FixedPoint(norm="max", reference="current", patience=0, cap=cap).start(call)
    motion = {"latent difference": LatentDifference(cap=cap), "acceleration": Acceleration(cap=cap)}
    policies = {**motion, "KL": KLExit(cap=cap)} if recipe == "fprm" else {}
    halters = {rule: policy.start(call) for rule, policy in policies.items()}
    found: dict[str, list[Tensor]] = {}
    right, losses = [], []
    old = torch.zeros_like(model.signal(batch.ids))
    survival, mass = torch.ones(rows), torch.zeros(rows)
    mean, answers_by_act = torch.zeros_like(old), []
    for loop, new in enumerate(states(model, batch, sees, cap)):
        logits = model.read(new)
        step = LoopStep(loop, old, new, everywhere, False, None, lambda state, logits=logits: logits)
        scores = {"fixed point": residual.measure(old, new).amax(1)}
        scores |= {rule: halter.score(step).amax(1) for rule, halter in halters.items()}  # type: ignore[attr-defined]
        halt = model.gate_logits(new).sigmoid()
        survival = survival * (1 - halt)
        act_answer = model.read(mean + (1 - mass)[:, None, None] * new)
        answers_by_act.append((is_right(act_answer, batch.labels), nats(act_answer, batch.labels)))
        mean, mass = mean + halt[:, None, None] * new, mass + halt
        scores |= {"gate": survival, "gate now": 1 - halt, "ACT": 1 - mass}
        for rule, score in scores.items():
            found.setdefault(rule, []).append(score)
        right.append(is_right(logits, batch.labels))
        losses.append(nats(logits, batch.labels))
        old = new
    arrays = {rule: torch.stack(each).numpy() for rule, each in found.items()}
    # "Twice in a row below" is: the larger of two neighbours is below.
    if halters:
        twice = arrays["acceleration"]
        arrays["acceleration"] = np.maximum(twice, np.concatenate([np.full_like(twice[:1], np.inf), twice[:-1]]))
    arrays["ACT right"] = torch.stack([each[0] for each in answers_by_act]).numpy()
    return Curves(torch.stack(right).numpy(), torch.stack(losses).numpy(), arrays, batch.hardness.numpy())


def _trm(model: Block, batch: Batch, task: Task, recipe: str, cap: int, loops: int = 4) -> Curves:
    """A loop is one use of the layers; the answer changes, and the halting head is asked, once a cycle of ``loops``."""
    sees, signal = task.sees(batch.size), model.signal(batch.ids)
    answer, latent = torch.zeros_like(signal), torch.zeros_like(signal)
    right, losses, scores = [], [], []
    for _ in range(-(-cap // loops)):
        cycle = list(trm_cycle(model, signal, answer, latent, sees, loops))
        for now, _ in cycle:
            logits = model.read(now)
            right.append(is_right(logits, batch.labels))
            losses.append(nats(logits, batch.labels))
            scores.append(torch.full((len(batch.ids),), torch.inf))
        answer, latent = cycle[-1]
        scores[-1] = 1 - model.gate_logits(answer).sigmoid()
    found = (torch.stack(each[:cap]).numpy() for each in (right, losses, scores))
    rights, nats_, gates = found
    return Curves(rights, nats_, {"gate now": gates}, batch.hardness.numpy())


def score_of(curve: Curves, rule: str) -> np.ndarray:
    """(L, N) scores of a rule on its model; below the setting it stops."""
    if rule == "fixed depth":
        return -np.broadcast_to(np.arange(1, len(curve.right) + 1)[:, None], curve.right.shape).astype(float)
    if rule == "oracle: argmin CE":
        return curve.nats - curve.nats.min(0)  # the setting is nats above the best loop
    if rule == "oracle: first right":
        return 1.0 - curve.right
    keys = {"gate, post hoc": "gate", "gate, entropy": "gate now", "PonderNet": "gate", "TRM's head": "gate now"}
    keys[UNROLLED] = "fixed point"
    return curve.scores[keys.get(rule, rule)]


def right_of(curve: Curves, rule: str) -> np.ndarray:
    """(L, N) whether the answer is right if the rule stops there."""
    return curve.scores["ACT right"].astype(bool) if rule == "ACT" else curve.right


@dataclass
class Score:
    """What a rule does at one setting."""

    setting: float
    accuracy: float  # instances all right
    loops: float  # mean over instances
    stopped: float  # share that stopped before the cap, by the rule's own doing
    right_if_stopped: float  # NaN if none did
    right_at_cap: float  # NaN if none ran into it
    tells: float  # AUROC of "stopped sooner" for "right"; NaN if all are right or all wrong


def apply(curve: Curves, rule: str, setting: float | np.ndarray) -> Score:
    """Stop every instance at the first loop whose score is below the setting, or below its own of (N,) settings."""
    cap = len(curve.right)
    below = score_of(curve, rule) < setting
    stops = below.any(0)
    at = np.where(stops, below.argmax(0), cap - 1)
    right = np.take_along_axis(right_of(curve, rule), at[None], 0)[0]

    def share(where: np.ndarray) -> float:
        return float(right[where].mean()) if where.any() else float("nan")

    return Score(
        float(np.mean(setting)),
        float(right.mean()),
        float((at + 1).mean()),
        float(stops.mean()),
        share(stops),
        share(~stops),
        auroc(-(at + (~stops)), right),
    )


def auroc(values: np.ndarray, right: np.ndarray) -> float:
    """Chance that a right instance has a higher value than a wrong one, ties counting half; NaN if there is no pair."""
    good, bad = values[right], values[~right]
    if not len(good) or not len(bad):
        return float("nan")
    pairs = np.sign(good[:, None].astype(float) - bad[None])
    return float((pairs + 1).mean() / 2)


def settings(curve: Curves, rule: str, count: int = 48) -> list[float]:
    """Settings to try: every depth, or spread evenly over the scores that occurred before the cap."""
    if rule == "fixed depth":
        return [-depth + 0.5 for depth in range(1, len(curve.right) + 1)]
    if rule == "oracle: first right":
        return [0.5]
    if rule == "oracle: argmin CE":
        return [1e-6, 0.01, 0.1]
    seen = score_of(curve, rule)
    seen = seen[np.isfinite(seen)]
    if rule == "ACT":  # below 0 more than all the mass would be spent
        seen = np.append(seen[seen > 0], 0.01)
    return sorted({float(np.quantile(seen, q)) * (1 + 1e-6) for q in np.linspace(0.0, 1.0, count)})


def sweep(curve: Curves, rule: str, tried: list[float] | None = None) -> list[Score]:
    return [apply(curve, rule, setting) for setting in (settings(curve, rule) if tried is None else tried)]


def cheapest(scores: list[Score], accuracy: float) -> Score | None:
    """The fewest loops at this accuracy; None if no setting reaches it."""
    good = [score for score in scores if score.accuracy >= accuracy - 1e-9]
    return min(good, key=lambda score: score.loops) if good else None


@torch.no_grad()
def solver(model: Block, batches: list[Batch], task: Task, cap: int, tol: float = 0.1) -> dict[str, Any]:
    """FPRM's own solver, damping and all, at the tolerance it was trained with."""
    policy = FixedPoint(tol, cap, norm="max", reference="current", patience=5, damping=0.9)
    outs = [(run(model, b, task.sees(b.size), policy), b) for b in batches]
    right = torch.cat([is_right(model.read(out.state), b.labels) for out, b in outs]).numpy()
    depth = torch.cat([out.depth for out, _ in outs]).numpy()
    stopped = torch.cat([out.reason for out, _ in outs]).numpy() > 0
    tells = auroc(-(depth + ~stopped), right)
    return asdict(
        Score(
            tol,
            float(right.mean()),
            float(depth.mean()),
            float(stopped.mean()),
            float(right[stopped].mean()) if stopped.any() else float("nan"),
            float(right[~stopped].mean()) if (~stopped).any() else float("nan"),
            tells,
        )
    )
