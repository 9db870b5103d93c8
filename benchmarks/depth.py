"""Fixed or chosen depth: does halting at a fixed point beat a learned gate, ACT and fixed depths on serial tasks?

A looped model of one core layer learns products in A5 and addition with long carries on sequences of up to 12 tokens
(`serial_depth/tasks.py`). Stopping rules are compared on sequences of up to 24 tokens, twice the training length: how
many loops each needs for a given accuracy, and what a setting calibrated on training lengths does beyond them (also at
48 tokens). A rule's model is its own where it needs one: gates and ACT are trained, fixed depths and fixed-point
halting share a model trained at random depths. "Fixed point" waits for the tokens to the left (scope "prefix") and is
what the targets and the clock are of; "each token alone" is the policy's default scope.

Trained models and their scores are kept in runs/benchmarks/depth; Ctrl-C and start again to go on. About two hours on
2 cores at first.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from serial_depth.clock import decode, parallel, saving, wide_saving
from serial_depth.measuring import (
    ACCURACIES,
    RULES,
    TARGET_KL,
    Score,
    at_cap,
    calibrated,
    cheapest,
    quick_plan,
    score,
    sweep,
    workload,
)
from serial_depth.tasks import TASKS
from serial_depth.training import RECIPES, Plan, train
from targets import Target, finish, parser
from workers import workers

from eval.bootstrap import mean_and_error

FOLDER = Path("runs/benchmarks/depth")


LEARNED = ("gate, post hoc", "gate, joint", "ACT")
ENOUGH = 0.99  # accuracy at which rules are compared
WIDE = 512  # of the core that the clock is read on beside the trained one


def study(task: str, seed: int, plan: Plan, folder: Path, rows: int) -> dict[str, Any]:
    """Train the four models of a task and seed, and score every rule; read from disk if that was done before."""
    path = folder / f"{task}-seed{seed}-scores.json"
    if path.exists():
        return json.loads(path.read_text())
    torch.set_num_threads(1)
    models = {recipe: train(task, recipe, seed, plan, folder) for recipe in RECIPES}
    seen = workload(task, range(3, plan.longest + 1, 3), rows, seed=11)
    longer = workload(task, range(3, 2 * plan.longest + 1, 3), rows, seed=12)
    double, fourfold = (workload(task, [factor * plan.longest], rows, seed=13) for factor in (2, 4))
    result: dict[str, Any] = {"task": task, "seed": seed, "rules": {}}
    for rule, (recipe, _, make) in RULES.items():
        model = models[recipe]
        on_seen, on_longer = (sweep(model, batches, rule, plan.spare) for batches in (seen, longer))
        setting = calibrated(on_seen)
        transfer = {
            name: score(
                model, batches, lambda cap, s=setting, m=make: m(s, cap), plan.spare, at_cap(model, batches, plan.spare)
            )
            for name, batches in (("longer", longer), ("double", double), ("fourfold", fourfold))
        }
        result["rules"][rule] = {
            "seen": {str(s): asdict(each) for s, each in on_seen.items()},
            "longer": {str(s): asdict(each) for s, each in on_longer.items()},
            "reaches": {str(accuracy): reach(on_longer, accuracy) for accuracy in ACCURACIES},
            "calibrated": {"setting": setting, "seen": asdict(on_seen[setting])}
            | {name: asdict(each) for name, each in transfer.items()},
        }
    path.write_text(json.dumps(result))
    return result


def reach(scores: dict[float, Score], accuracy: float) -> dict[str, float] | None:
    """Setting and mean loops with which a rule reaches an accuracy."""
    setting = cheapest(scores, accuracy)
    return None if setting is None else {"setting": setting, "loops": scores[setting].loops}


def measure_clock(result: dict[str, Any], plan: Plan, folder: Path, quick: bool) -> None:
    """Adds seconds at fixed depth over seconds at chosen depths, both at their settings for ``ENOUGH``."""
    task, seed = result["task"], result["seed"]
    model = train(task, "random", seed, plan, folder)
    fixed, chosen = (result["rules"][rule]["reaches"][str(ENOUGH)] for rule in ("fixed depth", "fixed point"))
    result["saving"] = {}
    if fixed is None or chosen is None:
        return
    policies = {
        "fixed": lambda cap: RULES["fixed depth"][2](fixed["setting"], cap),
        "chosen": lambda cap: RULES["fixed point"][2](chosen["setting"], cap),
    }
    longest = 2 * plan.longest
    for batch_size in (1, 32):
        batches = workload(task, list(range(3, longest + 1, 3)) * (2 if batch_size == 1 else 1), batch_size, seed=21)
        few = workload(task, [longest // 2, longest], batch_size, seed=22)
        for name, run in (("decode", decode), ("parallel", parallel)):
            kind = f"{name}, batch {batch_size}"
            result["saving"][kind] = saving(
                run, model, batches, spare=plan.spare, repeats=2 if quick else 10, **policies
            )
            result["saving"][f"{kind}, width {WIDE}"] = wide_saving(
                run, model, few, plan=plan, width=WIDE, repeats=2 if quick else 4, **policies
            )


def tables(task: str, results: list[dict[str, Any]]) -> None:
    seeds = [r["seed"] for r in results]
    print(f"\n{task}: mean loops that a rule needs on sequences of up to twice the training length, seeds {seeds}")
    print(f"{'rule':31}" + "".join(f"{f'for {accuracy:.1%}':>18}" for accuracy in ACCURACIES))
    for rule in RULES:
        cells = []
        for accuracy in ACCURACIES:
            found = [r["rules"][rule]["reaches"][str(accuracy)] for r in results]
            missed = sum(each is None for each in found)
            loops = [each["loops"] for each in found if each is not None]
            cells.append(f"missed by {missed}" if missed else str(mean_and_error(loops)))
        print(f"{rule:31}" + "".join(f"{cell:>18}" for cell in cells))
    print(f"\n{task}: settings calibrated to {TARGET_KL} nats on training lengths, and what they do beyond")
    print(
        f"{'rule':31} {'setting':>17} {'seen: acc':>14} {'loops':>6} {'to 2x: acc':>14} {'loops':>6} {'KL':>7}"
        f" {'2x: last token':>15} {'4x: acc':>14} {'loops':>6}"
    )
    for rule in RULES:
        each = [r["rules"][rule]["calibrated"] for r in results]

        def cell(name: str, field: str, each=each) -> str:
            return str(mean_and_error([e[name][field] for e in each]))

        def plain(name: str, field: str, each=each) -> float:
            return statistics.fmean(e[name][field] for e in each)

        settings = "/".join(f"{e['setting']:g}" for e in each)
        print(
            f"{rule:31} {settings:>17} {cell('seen', 'accuracy'):>14} {plain('seen', 'loops'):6.1f} "
            f"{cell('longer', 'accuracy'):>14} {plain('longer', 'loops'):6.1f} {plain('longer', 'kl'):7.3f} "
            f"{cell('double', 'last'):>15} {cell('fourfold', 'accuracy'):>14} {plain('fourfold', 'loops'):6.1f}"
        )
    for r in results:
        if r["saving"]:
            print(
                f"seed {r['seed']}: time at fixed / chosen depth, both {ENOUGH:.0%} accurate: "
                + ", ".join(f"{name} {ratio:.2f}" for name, ratio in r["saving"].items())
            )


def targets_of(task: str, results: list[dict[str, Any]]) -> list[Target]:
    def share(other: str) -> float:
        """Loops of fixed-point halting over another rule's; one that misses the accuracy needs infinitely many."""
        ratios = []
        for r in results:
            own, theirs = (r["rules"][rule]["reaches"][str(ENOUGH)] for rule in ("fixed point", other))
            if own is None:
                return float("nan")
            ratios.append(own["loops"] / theirs["loops"] if theirs else 0.0)
        return statistics.fmean(ratios)

    name = f"{task}, loops for {ENOUGH:.0%} up to twice the training length: fixed point"
    found = [Target(f"{name} / {other}", share(other), 1.0, at_least=False) for other in LEARNED]
    found.append(Target(f"{name} / fixed depth", share("fixed depth"), 0.70, at_least=False))
    kinds = [f"{name}, batch {size}" for name in ("decode", "parallel") for size in (1, 32)]
    for kind in [*kinds, *(f"{kind}, width {WIDE}" for kind in kinds)]:
        ratios = [r["saving"].get(kind, float("nan")) for r in results]
        found.append(Target(f"{task}: time at fixed / chosen depth, {kind}", statistics.fmean(ratios), 1.25))
    return found


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    plan, seeds = quick_plan(options.quick), [0] if options.quick else [0, 1, 2]
    folder = FOLDER / ("quick" if options.quick else "full")
    rows = 8 if options.quick else 64
    jobs = [(task, seed, plan, folder, rows) for task in TASKS for seed in seeds]
    with workers(len(jobs)) as pool:
        results = [job.result() for job in [pool.submit(study, *job) for job in jobs]]
    torch.set_num_threads(1)
    targets: list[Target] = []
    for task in TASKS:
        of_task = [r for r in results if r["task"] == task]
        for result in of_task:
            measure_clock(result, plan, folder, options.quick)
        tables(task, of_task)
        targets += targets_of(task, of_task)
    return finish("depth", options.quick, {"plan": asdict(plan), "seeds": seeds, "results": results}, targets)


if __name__ == "__main__":
    sys.exit(main())
