"""Halting laboratory: which rule should stop a looped model? One model, one set of data, one table.

A bidirectional looped block with FPRM's residual scales and training (`halting/block.py`, `halting/training.py`) learns
Sudoku of 4x4 and 6x6, shortest paths in mazes, and products in A5. Rules are compared by the loops they need for the
accuracy of the best fixed depth, by whether stopping tells right from wrong, and on harder instances than trained on:
fixed point, latent difference, acceleration, KL of the answer, a gate taught afterwards (Ouro's second stage), a gate
with an entropy bonus (LoopWM), PonderNet, ACT, and what an oracle could do. The FPRM recipe itself stands beside a
TRM-like and an ACT model with as many weights and gradient loops.

Settings are chosen on instances drawn as in training and applied to the test. An instance counts as solved if all of
it is right. Figures and models are kept in runs/benchmarks/halting, run by run; Ctrl-C and start again to go on. About
35 minutes on a core at first; `--tasks` and `--seeds` do a part, for several machines or cores.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from halting.study import Sizes, study
from halting.tables import curve_table, facts_table, others, rules_table, targets_of
from halting.training import Plan
from targets import finish, parser
from workers import workers

FOLDER = Path("runs/benchmarks/halting")
TASKS = ("sudoku4", "sudoku6", "maze", "addition")
QUICK = (Plan(updates=12, width=16, batch=8, gate_updates=5, unrolled=4), Sizes(24, 12, dict.fromkeys(TASKS, 6)))


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--tasks", nargs="+", choices=(*TASKS, "a5"), default=TASKS, help="some of the tasks, or a5")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="some of the seeds")
    chosen = options.parse_args()
    plan, sizes = QUICK if chosen.quick else (Plan(), Sizes())
    seeds = [0] if chosen.quick else chosen.seeds
    folder = FOLDER / ("quick" if chosen.quick else "full")
    jobs = [(task, seed, plan, sizes, folder) for seed in seeds for task in chosen.tasks]
    with workers(len(jobs)) as pool:
        results = [job.result() for job in [pool.submit(study, *job) for job in jobs]]
    by_task = {task: [r for r in results if r["task"] == task] for task in chosen.tasks}
    for task, of_task in by_task.items():
        rules_table(task, of_task)
        curve_table(task, of_task)
        facts_table(task, of_task)
    others(by_task)
    if (set(chosen.tasks), set(chosen.seeds)) != (set(TASKS), {0, 1, 2}) and not chosen.quick:
        print("\na part of the study: no results are written. Start without --tasks and --seeds for all of it.")
        return 0
    facts = {"plan": asdict(plan), "sizes": asdict(sizes), "seeds": seeds, "results": results}
    return finish("halting_lab", chosen.quick, facts, targets_of(by_task))


if __name__ == "__main__":
    sys.exit(main())
