"""Where do extra loops help, hurt or oscillate, and does training at random depths make them neutral?

LoopCoder-v2's question (arXiv 2606.18023) on models of one prelude and one looped layer, 64 wide, trained here on
addition with carries and products in A5, token by token (`loop_gain/tasks.py`): models trained at 1, 2, 3 and 4 loops
each, one trained at random depths of 1 to 4, and Parallel Loop Transformers of 2, 3 and 4 loops (input shifted by one
token, keys and values of the first loop only), with either ingredient alone at 4. Beside them one loop with as much
compute as four, and four layers without a loop with as many weights. All see the same sequences in as many updates, and
are read after every loop up to 8: accuracy, by difficulty, what each loop repairs and breaks, and how the state moves.

Trained models and their profiles are kept in runs/benchmarks/gain_profile; Ctrl-C and start again to go on. About 15
minutes on one free core at first. `--tasks` and `--seeds` do a part, `--done` shows what there is so far, `--markdown`
prints the tables of docs/gain-profile.md from the results.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from loop_gain.models import ARMS, ONE, Arm, new_model, weights
from loop_gain.reading import DEEPEST, read
from loop_gain.tables import UNTRAINED, markdown, show, targets_of
from loop_gain.tasks import STRATA, draw_test
from loop_gain.training import Plan, train
from targets import RESULTS, finish, parser
from workers import workers

FOLDER = Path("runs/benchmarks/gain_profile")
TASKS = tuple(STRATA)
SEEDS = [0, 1, 2]
MODELS = (*ARMS, UNTRAINED)
QUICK = Plan(updates=16, width=32, batch=8)
TEST_ROWS, TEST_SEED = 1600, 4242


def profile(task: str, name: str, seed: int, plan: Plan, rows: int, folder: Path) -> dict[str, Any]:
    """One arm's profile, read from disk if it is there; ``"untrained"`` is the one-loop model before training."""
    if (kept := _kept(task, name, seed, plan, rows, folder)) is not None:
        return kept
    arm, path = _arm(name), _path(task, name, seed, folder)
    if name in ARMS:
        model = train(task, name, arm, seed, plan, folder / "models")
    else:
        model = new_model(arm, plan.width, seed).eval()
    work = draw_test(task, rows, TEST_SEED + seed)
    facts = {"weights": weights(model, arm), "compute": arm.compute, "trained loops": arm.loops}
    found = facts | read(model, work, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"key": _key(name, plan, rows), **found}))
    temporary.replace(path)
    return found


def _arm(name: str) -> Arm:
    return ARMS.get(name, ARMS[ONE])


def _path(task: str, name: str, seed: int, folder: Path) -> Path:
    return folder / "profiles" / f"{task}-{name.replace(', ', '-').replace(' ', '_')}-{seed}.json"


def _key(name: str, plan: Plan, rows: int) -> dict[str, Any]:
    """What a kept profile must have been made with."""
    return json.loads(json.dumps({"plan": asdict(plan), "arm": asdict(_arm(name)), "deepest": DEEPEST, "rows": rows}))


def _kept(task: str, name: str, seed: int, plan: Plan, rows: int, folder: Path) -> dict[str, Any] | None:
    path = _path(task, name, seed, folder)
    kept = json.loads(path.read_text()) if path.exists() else {"key": None}
    return kept if kept.pop("key") == _key(name, plan, rows) else None


def is_done(task: str, seed: int, plan: Plan, rows: int, folder: Path) -> bool:
    """Whether all profiles of a task and seed are there."""
    return all(_kept(task, name, seed, plan, rows, folder) for name in MODELS)


def study(task: str, seed: int, plan: Plan, rows: int, folder: Path) -> dict[str, Any]:
    """All arms of a task and seed."""
    torch.set_num_threads(1)
    arms = {name: profile(task, name, seed, plan, rows, folder) for name in MODELS}
    return {"task": task, "seed": seed, "arms": arms}


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, help="some of the tasks")
    options.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="some of the seeds")
    options.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="at once; one a core by default")
    options.add_argument("--done", action="store_true", help="start nothing: tables and results of what has been run")
    options.add_argument("--markdown", action="store_true", help="print the guide's tables from the kept results")
    chosen = options.parse_args()
    if chosen.markdown:
        print(markdown(json.loads((RESULTS / "gain_profile.json").read_text())))
        return 0
    plan, rows, seeds = (QUICK, 40, [0]) if chosen.quick else (Plan(), TEST_ROWS, chosen.seeds)
    folder = FOLDER / ("quick" if chosen.quick else "full")
    jobs = [(task, seed, plan, rows, folder) for seed in seeds for task in chosen.tasks]
    missing = [job[:2] for job in jobs if chosen.done and not is_done(*job)]
    jobs = [job for job in jobs if job[:2] not in missing]
    if not jobs:
        print("nothing has been run yet: start without --done.")
        return 1
    with workers(min(len(jobs), chosen.processes)) as pool:
        results = [job.result() for job in [pool.submit(study, *job) for job in jobs]]
    by_task = {task: [r for r in results if r["task"] == task] for task in chosen.tasks}
    by_task = {task: of_task for task, of_task in by_task.items() if of_task}
    show(by_task)
    if (set(chosen.tasks), set(chosen.seeds)) != (set(TASKS), set(SEEDS)) and not chosen.quick:
        print("\na part of the study: no results are written. Start without --tasks and --seeds for all of it.")
        return 0
    facts = {"plan": asdict(plan), "rows": rows, "seeds": seeds, "missing": missing, "results": results}
    return finish("gain_profile", chosen.quick, facts, targets_of(by_task))


if __name__ == "__main__":
    sys.exit(main())
