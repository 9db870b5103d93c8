"""One task and seed: train its models, read every rule off them, and keep the figures."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from halting.block import Block
from halting.controls import controls
from halting.measuring import ORACLES, RULES, SLACK, UNROLLED, Curves, apply, cheapest, curves, solver, sweep
from halting.tasks import Batch, SudokuTask, Task, tasks
from halting.training import BASELINES, BRANCHES, Plan, train

SPLITS = ("train", "test", "shifted")
TOLERANCES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005)
BASELINE_TASKS = ("sudoku6",)
CAPS = {"sudoku4": 12, "sudoku6": 24, "maze": 32, "addition": 20, "a5": 24}


@dataclass(frozen=True)
class Sizes:
    """Of the measurement."""

    instances: int = 420  # of the test, over all sizes together; half as many to choose settings on, a fourth shifted
    base: int = 400  # Sudoku puzzles of a split
    caps: dict[str, int] = field(default_factory=lambda: dict(CAPS))


def workload(task: Task, split: str, count: int, seed: int) -> list[Batch]:
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    sizes = task.sizes_of(split)
    return [task.draw(split, count // len(sizes), size, rng) for size in sizes]


def study(name: str, seed: int, plan: Plan, sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Everything about one task and seed; what takes long is read from disk if it was done before."""
    torch.set_num_threads(1)
    task, cap = tasks(folder / "puzzles", sizes.base)[name], sizes.caps[name]
    facts = _facts(task, plan, sizes)
    fewer = {"test": 1, "train": 2, "shifted": 4}
    work = {split: workload(task, split, sizes.instances // fewer[split], seed=9) for split in SPLITS}
    recipes = [*BRANCHES, "posthoc", *(BASELINES if name in BASELINE_TASKS else ())]
    models, seen = {}, {}
    for recipe in recipes:
        models[recipe] = train(task, recipe, seed, plan, folder / "models")
        seen[recipe] = _kept_curves(
            folder / "curves" / f"{name}-{recipe}-seed{seed}.npz", facts, models[recipe], work, task, recipe, cap
        )
    trunk = seen["fprm"]
    return {
        "task": name,
        "seed": seed,
        "cap": cap,
        "rules": {
            rule: rule_figures(seen[RULES[rule]], seen["loopwm"] if rule == UNROLLED else trunk, rule) for rule in RULES
        },
        "fixed depths": {
            recipe: [round(s.accuracy, 4) for s in sweep(seen[recipe]["test"], "fixed depth")]
            for recipe in ("fprm", "loopwm")
        },
        "curve": {
            split: {str(tol): asdict(apply(trunk[split], "fixed point", tol)) for tol in TOLERANCES} for split in SPLITS
        },
        "recipes": {recipe: _recipe(recipe, each) for recipe, each in seen.items()},
        "by visible difficulty": by_group(trunk["test"], groups(work["test"])),
        "hardness": _hardness(task, trunk["test"]),
        **_checks(folder / f"{name}-seed{seed}-checks.json", facts, task, models["fprm"], work, cap, seed),
    }


def _facts(task: Task, plan: Plan, sizes: Sizes) -> dict[str, Any]:
    """What kept figures must have been made with."""
    return json.loads(json.dumps({"plan": asdict(plan), "sizes": asdict(sizes), "effort": task.effort}))


def is_done(name: str, seed: int, plan: Plan, sizes: Sizes, folder: Path) -> bool:
    """Whether a study has been run to its end, so that its figures are there in seconds."""
    path = folder / f"{name}-seed{seed}-checks.json"  # written last
    facts = _facts(tasks(folder / "puzzles", sizes.base)[name], plan, sizes)
    return path.exists() and json.loads(path.read_text())["facts"] == facts


def _checks(
    path: Path, facts: dict[str, Any], task: Task, model: Block, work: dict[str, list[Batch]], cap: int, seed: int
) -> dict[str, Any]:
    """What needs the model once more: FPRM's damped solver, and the blind controls."""
    if path.exists():
        kept = json.loads(path.read_text())
        if kept.pop("facts") == facts:
            return kept
    found = {"solver": {split: solver(model, work[split], task, cap) for split in SPLITS}}
    torch.manual_seed(seed)
    untrained = Block(task, model.width)
    found["controls"] = controls(task, model, untrained, work["train"][-1], work["test"][-1], cap)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"facts": facts, **found}))
    temporary.replace(path)
    return found


def _kept_curves(
    path: Path, facts: dict[str, Any], model: Block, work: dict[str, list[Batch]], task: Task, recipe: str, cap: int
) -> dict[str, Curves]:
    """Curves of every split, read from disk if they are there."""
    if path.exists():
        kept = np.load(path)
        if json.loads(str(kept["facts"])) == facts:
            return {split: Curves.of_arrays(kept, f"{split}/") for split in work}
    found = {split: curves(model, batches, task, recipe, cap) for split, batches in work.items()}
    arrays = {name: array for split, curve in found.items() for name, array in curve.arrays(f"{split}/").items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, facts=np.array(json.dumps(facts)), **arrays)
    temporary.replace(path)
    return found


def rule_figures(mine: dict[str, Curves], beside: dict[str, Curves], rule: str) -> dict[str, Any]:
    """A rule with the setting that hindsight gives it, and with settings chosen on other instances.

    ``beside`` is the model whose fixed depths it is compared with: FPRM's, but for a rule on another trunk.

    On either half of the test the setting is the other half's: the fewest loops at which the rule is as accurate there
    as the best fixed depth. Shifted instances get the whole test's.
    """
    best = {split: max(s.accuracy for s in sweep(beside[split], "fixed depth")) for split in SPLITS}
    swept = sweep(mine["test"], rule)
    hindsight = cheapest(swept, best["test"] - SLACK)
    halves = [np.arange(len(mine["test"].hardness)) % 2 == half for half in (0, 1)]
    crossed = np.empty(len(halves[0]))
    for half, other in (halves, halves[::-1]):
        crossed[other] = choose(mine["test"].take(half), beside["test"].take(half), rule)
    whole = choose(mine["test"], beside["test"], rule)
    return {
        "best fixed accuracy": best,
        "hindsight": None if hindsight is None else asdict(hindsight),
        "chosen": {
            "test": asdict(apply(mine["test"], rule, crossed)),
            "shifted": asdict(apply(mine["shifted"], rule, whole)),
        },
        "sweep": [f"{s.setting:.4g}: {s.accuracy:.4f} in {s.loops:.2f}" for s in swept[::3]],
    }


def choose(mine: Curves, beside: Curves, rule: str) -> float:
    """The setting with the fewest loops that is as accurate as the best fixed depth; the most accurate if none is."""
    swept = sweep(mine, rule)
    if rule in ORACLES:
        return swept[0].setting
    best = max(s.accuracy for s in sweep(beside, "fixed depth"))
    found = cheapest(swept, best) or min(swept, key=lambda s: (-s.accuracy, s.loops))
    return found.setting


def groups(batches: list[Batch]) -> np.ndarray:
    """(N,) what one sees of an instance's difficulty before solving it: its size, or the quarter of its blanks."""
    if len(batches) > 1:
        return np.concatenate([np.full(len(batch.ids), batch.size) for batch in batches])
    hardness = batches[0].hardness.numpy()
    return np.searchsorted(np.quantile(hardness, [0.25, 0.5, 0.75]), hardness)


def by_group(curve: Curves, group: np.ndarray) -> dict[str, float]:
    """The best fixed depth of each group: what looking at the difficulty is worth without looking at the state."""
    found = []
    for each in np.unique(group):
        part = curve.take(group == each)
        swept = sweep(part, "fixed depth")
        chosen = cheapest(swept, max(s.accuracy for s in swept) - SLACK)
        assert chosen is not None
        found.append((len(part.hardness), chosen.accuracy, chosen.loops))
    counts, accuracies, loops = np.array(found).T
    return {
        "accuracy": float(np.average(accuracies, weights=counts)),
        "loops": float(np.average(loops, weights=counts)),
    }


def _recipe(recipe: str, each: dict[str, Curves]) -> dict[str, Any]:
    """Accuracy of a trained model after all loops, and with its own rule as it was trained to use it."""
    own = {"trm": ("TRM's head", 0.5), "act_scratch": ("ACT", 0.01), "act": ("ACT", 0.01), "fprm": ("fixed point", 0.1)}
    found: dict[str, Any] = {split: {"at cap": float(curve.right[-1].mean())} for split, curve in each.items()}
    for split, curve in each.items():
        if recipe in own:
            found[split]["own rule"] = asdict(apply(curve, *own[recipe]))
        found[split]["best"] = float(curve.right.mean(1).max())
    return found


def _hardness(task: Task, curve: Curves) -> dict[str, Any]:
    """How mixed the test is: quartiles of hardness, and of the loops after which the answer is first right."""
    ever = curve.right.any(0)
    first = (curve.right.argmax(0) + 1)[ever]
    found = {
        "hardness": [float(q) for q in np.quantile(curve.hardness, [0, 0.25, 0.5, 0.75, 1])],
        "first right": [float(q) for q in np.quantile(first, [0, 0.25, 0.5, 0.75, 1])] if len(first) else [],
    }
    owner = getattr(task.draw, "__self__", None)
    if isinstance(owner, SudokuTask):
        for split in SPLITS:
            counts = Counter(str(needed) for needed in owner.hardness(split))
            found[f"rounds, {split}"] = dict(sorted(counts.items()))
    return found
