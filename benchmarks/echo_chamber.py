"""Does RL move a policy to one format, is there an alarm in time, and does VPO or a stronger KL prevent it?

Echo Chamber (arXiv 2504.07912) in miniature. Each seed warm-starts a fresh tiny policy on a teacher's mixture of three
formats, python, tagged code and prose, which are used and right at different rates; then GRPO with KL 0, 1e-3, 1e-2,
1e-1 and 1, VPO, and two kinds of pay for sets of answers train it on, with equal tokens and at most one pass over the
prompts. Shares, accuracies and effective formats are taken at every step, with alarms at a known rate of false ones.
Controls: the base resampled at every step, a coin for a reward, VPO with a vector that tells the formats apart, and the
best fixed answers.

The settings are those of recipes/echo_chamber, found on other mixtures; this one was run once. About 12 minutes of CPU
a seed, all arms. Runs are kept in runs/benchmarks/echo_chamber; killed and started again it goes on where it was.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from echo.plan import ARMS, QUICK_ARMS, Arm, Plan
from echo.stages import train_arm, warm_start
from echo.tables import blind_row, cpu_seconds, results, show, table, targets
from targets import finish, parser
from workers import workers

from vpo.cli.study.runner import only_runner

FOLDER = Path("runs/benchmarks/echo_chamber")


def stage(plan: Plan, arm: Arm | None, root: Path) -> dict[str, Any]:
    """The warm start, or an arm, in a process of its own."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    found = train_arm(plan, arm, root) if arm else warm_start(plan, root)
    print(
        f"  seed {plan.seed}: {arm.name if arm else 'warm start'}, {found['cpu_seconds']:.0f} CPU seconds", flush=True
    )
    return found


def main() -> int:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    arguments.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    arguments.add_argument("--base", action="store_true", help="only the warm starts, for `vpo train`")
    arguments.add_argument("--out", type=Path, default=FOLDER, help="where the runs are kept")
    options = arguments.parse_args()
    arms = QUICK_ARMS if options.quick else ARMS
    seeds = range(options.first, options.first + (1 if options.quick else options.seeds))
    plans = [Plan(seed, options.quick) for seed in seeds]
    out = options.out / "quick" if options.quick else options.out
    roots = [out / f"seed{plan.seed}" for plan in plans]
    runs: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in arms}
    with ExitStack() as open_until_the_end:
        for root in roots:
            open_until_the_end.enter_context(only_runner(root))
        pool = open_until_the_end.enter_context(workers(len(plans) * len(arms)))
        bases = [pool.submit(stage, plan, None, root) for plan, root in zip(plans, roots, strict=True)]
        jobs = []
        for plan, root, base in zip(plans, roots, bases, strict=True):  # seed by seed: a stopped one leaves whole seeds
            base.result()
            if not options.base:
                jobs += [(arm.name, pool.submit(stage, plan, arm, root)) for arm in arms]
        for name, job in jobs:
            runs[name].append(job.result())
        found = [base.result() for base in bases]
    if options.base:
        return 0
    blind = blind_row(plans[0])
    rows = table(found, runs, plans[0])
    show(rows, runs, blind)
    facts = {
        "seeds": [plan.seed for plan in plans],
        "cpu_seconds_a_seed": cpu_seconds(found, runs),
        "base": plans[0].base,
        "recipes": {arm.name: plans[0].recipe(arm) for arm in arms},
        **results(rows, runs, blind),
    }
    some = "" if options.quick or (options.first, options.seeds) == (0, 3) else f"-seeds-{seeds[0]}-to-{seeds[-1]}"
    return finish("echo_chamber" + some, options.quick, facts, targets(found, rows, runs, blind))


if __name__ == "__main__":
    sys.exit(main())
