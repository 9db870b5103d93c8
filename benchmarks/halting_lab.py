"""Halting laboratory: which rule should stop a looped model? One model, one set of data, one table.

A bidirectional looped block with FPRM's residual scales and training (`halting/block.py`, `halting/training.py`) learns
Sudoku of 4x4 and 6x6, shortest paths in mazes, and addition with carries. Rules are compared by the loops they need to
be as accurate as the best fixed depth, by whether stopping tells right from wrong, and on harder instances than trained
on: fixed point, latent difference, acceleration, KL of the answer, a gate taught afterwards (Ouro's second stage), a
gate with an entropy bonus (LoopWM), PonderNet, ACT, and what an oracle could do. On 6x6 the FPRM recipe itself stands
beside a TRM-like and an ACT model with as many weights, updates and gradient loops.

A rule's setting is chosen on one half of the test and applied to the other; the fixed depth has hindsight. An instance
counts as solved if all of it is right. Models and what they do loop by loop are kept in runs/benchmarks/halting, run by
run; Ctrl-C and start again to go on. About half an hour on one free core at first. `--tasks` and `--seeds` do a part,
`--done` shows what there is so far. `a5` (products in A5, `serial_depth/tasks.py`) is there for those who have an hour.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from halting.study import Sizes, is_done, study
from halting.tables import curve_table, facts_table, others, rules_table, targets_of
from halting.training import Plan
from targets import finish, parser
from workers import workers

FOLDER = Path("runs/benchmarks/halting")
TASKS = ("sudoku4", "sudoku6", "maze", "addition")
QUICK = (
    Plan(updates=12, width=16, batch=8, gate_updates=5, unrolled=4),
    Sizes(24, 12, dict.fromkeys((*TASKS, "a5"), 6)),
)


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--tasks", nargs="+", choices=(*TASKS, "a5"), default=TASKS, help="some of the tasks, or a5")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="some of the seeds")
    options.add_argument("--done", action="store_true", help="start nothing: tables and results of what has been run")
    chosen = options.parse_args()
    plan, sizes = QUICK if chosen.quick else (Plan(), Sizes())
    seeds = [0] if chosen.quick else chosen.seeds
    folder = FOLDER / ("quick" if chosen.quick else "full")
    jobs = [(task, seed, plan, sizes, folder) for seed in seeds for task in chosen.tasks]
    missing = [job[:2] for job in jobs if chosen.done and not is_done(*job)]
    jobs = [job for job in jobs if job[:2] not in missing]
    if not jobs:
        print("nothing has been run yet: start without --done.")
        return 1
    with workers(len(jobs)) as pool:
        results = [job.result() for job in [pool.submit(study, *job) for job in jobs]]
    by_task = {task: [r for r in results if r["task"] == task] for task in chosen.tasks}
    by_task = {task: of_task for task, of_task in by_task.items() if of_task}
    for task, of_task in by_task.items():
        rules_table(task, of_task)
        curve_table(task, of_task)
        facts_table(task, of_task)
    others(by_task)
    if (set(chosen.tasks), set(chosen.seeds)) != (set(TASKS), {0, 1, 2}) and not chosen.quick:
        print("\na part of the study: no results are written. Start without --tasks and --seeds for all of it.")
        return 0
    if missing:
        print("\nnot run yet: " + ", ".join(f"{task} seed {seed}" for task, seed in missing))
    facts = {"plan": asdict(plan), "sizes": asdict(sizes), "seeds": seeds, "missing": missing, "results": results}
    return finish("halting_lab", chosen.quick, facts, targets_of(by_task))


if __name__ == "__main__":
    sys.exit(main())
