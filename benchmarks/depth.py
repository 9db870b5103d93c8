"""Fixed or chosen depth: does halting at a fixed point beat a learned gate, ACT and fixed depths on serial tasks?

A looped model of one core layer learns products in A5 and addition with long carries on sequences of up to 12 tokens
(`serial_depth/tasks.py`), in about five minutes and one seed at a time. Every stopping rule gets one setting, chosen on
those lengths, and is then taken to sequences of up to 24 (twice the training length) and of exactly 48 tokens.

Trained models are kept in runs/benchmarks/depth; Ctrl-C and start again to go on. About an hour on 2 cores at first.
"""

from __future__ import annotations

import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from serial_depth.measuring import (
    CLOSE,
    RULES,
    cheapest,
    choose,
    decode,
    parallel,
    quick_plan,
    saving,
    score,
    sweep,
    workload,
)
from serial_depth.tasks import TASKS
from serial_depth.training import RECIPES, Plan, train
from targets import Target, finish, parser

from eval.bootstrap import mean_and_error

FOLDER = Path("runs/benchmarks/depth")


def study(task: str, seed: int, plan: Plan, folder: Path, rows: int) -> dict[str, Any]:
    """Train the four models of a task and seed, and score every rule."""
    torch.set_num_threads(1)
    models = {recipe: train(task, recipe, seed, plan, folder) for recipe in RECIPES}
    seen = workload(task, range(3, plan.longest + 1, 3), rows, seed=11)
    longer = workload(task, range(3, 2 * plan.longest + 1, 3), rows, seed=12)
    double, fourfold = (workload(task, [factor * plan.longest], rows, seed=13) for factor in (2, 4))
    result: dict[str, Any] = {"task": task, "seed": seed, "rules": {}}
    for rule, (recipe, _, make) in RULES.items():
        on_seen = sweep(models[recipe], seen, rule, plan.spare)
        setting = choose(on_seen)
        scores = {"seen": on_seen[setting]}
        for name, batches in (("longer", longer), ("double", double), ("fourfold", fourfold)):
            scores[name] = score(models[recipe], batches, lambda cap, s=setting, m=make: m(s, cap), plan.spare)
        result["rules"][rule] = {"setting": setting, **{name: asdict(each) for name, each in scores.items()}}
    # The least fixed depth that is as accurate as the fixed point on the longer mixture: what there is to save.
    depths = sweep(models["random"], longer, "fixed depth", plan.spare)
    equal = cheapest(depths, result["rules"]["fixed point"]["longer"]["accuracy"] - CLOSE)
    result["equal_depth"] = equal
    result["curve"] = {str(depth): asdict(each) for depth, each in depths.items()}
    return result


def measure_clock(result: dict[str, Any], plan: Plan, folder: Path, quick: bool) -> None:
    """Adds seconds at the fixed depth of equal accuracy over seconds at the chosen ones."""
    task, seed = result["task"], result["seed"]
    model = train(task, "random", seed, plan, folder)
    depth, tol = result["equal_depth"], result["rules"]["fixed point"]["setting"]
    result["saving"] = {}
    if depth is None:
        return
    make = RULES["fixed point"][2]
    for batch_size in (1, 32):
        lengths = range(3, 2 * plan.longest + 1, 3) if batch_size > 1 else list(range(3, 2 * plan.longest + 1, 3)) * 2
        batches = workload(task, lengths, batch_size, seed=21)
        for name, run in (("decode", decode), ("parallel", parallel)):
            ratio = saving(
                run,
                model,
                batches,
                fixed=lambda cap: RULES["fixed depth"][2](depth, cap),
                chosen=lambda cap: make(tol, cap),
                spare=plan.spare,
                repeats=2 if quick else 9,
            )
            result["saving"][f"{name}, batch {batch_size}"] = ratio


def table(task: str, results: list[dict[str, Any]]) -> None:
    print(f"\n{task}: mean (standard error) over seeds {[r['seed'] for r in results]}")
    head = f"{'rule':31} {'setting':>9} {'seen: acc':>14} {'loops':>6} {'to 2x: acc':>14} {'loops':>6} {'KL':>7}"
    print(head + f" {'2x: last token':>15} {'4x: acc':>14} {'loops':>6}")
    for rule in RULES:
        each = [r["rules"][rule] for r in results]

        def cell(name: str, field: str, each=each) -> str:
            return str(mean_and_error([e[name][field] for e in each]))

        def plain(name: str, field: str, each=each) -> float:
            return statistics.fmean(e[name][field] for e in each)

        settings = "/".join(f"{e['setting']:g}" for e in each)
        print(
            f"{rule:31} {settings:>9} {cell('seen', 'accuracy'):>14} {plain('seen', 'loops'):6.1f} "
            f"{cell('longer', 'accuracy'):>14} {plain('longer', 'loops'):6.1f} {plain('longer', 'kl'):7.3f} "
            f"{cell('double', 'last'):>15} {cell('fourfold', 'accuracy'):>14} {plain('fourfold', 'loops'):6.1f}"
        )
    for r in results:
        loops = r["rules"]["fixed point"]["longer"]["loops"]
        print(
            f"seed {r['seed']}: least fixed depth of equal accuracy {r['equal_depth']}, chosen {loops:.2f} loops; "
            f"saving {', '.join(f'{k}: {v:.2f}' for k, v in r['saving'].items())}"
        )


def targets_of(task: str, results: list[dict[str, Any]]) -> list[Target]:
    def gap(other: str) -> float:
        return statistics.fmean(
            r["rules"]["fixed point"]["longer"]["accuracy"] - r["rules"][other]["longer"]["accuracy"] for r in results
        )

    shares = [r["rules"]["fixed point"]["longer"]["loops"] / (r["equal_depth"] or float("nan")) for r in results]
    found = [
        Target(f"{task}, to twice the length: accuracy of fixed point - {other}", gap(other), 0.0)
        for other in ("gate, post hoc", "gate, joint", "ACT")
    ]
    found.append(
        Target(f"{task}: loops at equal accuracy, chosen / fixed", statistics.fmean(shares), 0.70, at_least=False)
    )
    for name in ("decode, batch 1", "decode, batch 32", "parallel, batch 1", "parallel, batch 32"):
        ratios = [r["saving"].get(name, float("nan")) for r in results]
        found.append(Target(f"{task}: time at fixed / chosen depth, {name}", statistics.fmean(ratios), 1.25))
    return found


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    plan, seeds = quick_plan(options.quick), [0] if options.quick else [0, 1, 2]
    folder = FOLDER / ("quick" if options.quick else "full")
    rows = 8 if options.quick else 128
    jobs = [(task, seed, plan, folder, rows) for task in TASKS for seed in seeds]
    workers = min(len(jobs), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = [job.result() for job in [pool.submit(study, *job) for job in jobs]]
    torch.set_num_threads(1)
    targets: list[Target] = []
    for task in TASKS:
        of_task = [r for r in results if r["task"] == task]
        for result in of_task:
            measure_clock(result, plan, folder, options.quick)
        table(task, of_task)
        targets += targets_of(task, of_task)
    return finish("depth", options.quick, {"plan": asdict(plan), "seeds": seeds, "results": results}, targets)


if __name__ == "__main__":
    sys.exit(main())
