"""The whole of a benchmark on one task: train what is missing, measure, print, compare with the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from targets import Target, finish, parser

from objectives.arms import CORE, OTHERS
from objectives.tables import Tables
from vpo.cli.study.runner import run_studies
from vpo.cli.study.settings import GRPO, QUICK, VPO, Settings


def run(
    description: str, name: str, first_seed: int, checks: Callable[[Tables], tuple[dict[str, Any], list[Target]]]
) -> int:
    """Run or continue a benchmark.

    Args:
        description: For ``--help``.
        name: The task, and the file of results.
        first_seed: Seeds start here; those below are for tuning.
        checks: Further results and targets.

    Returns:
        Exit status: 1 if a target is short.
    """
    arguments = parser(description)
    arguments.add_argument("--seeds", type=int, default=5, help=f"number of seeds, from {first_seed} (default 5)")
    arguments.add_argument("--arms", choices=["core", "all"], default="core", help="five arms, or all fifteen")
    arguments.add_argument("--out", type=Path, default=Path(f"runs/benchmark-{name}"), help="where the runs are kept")
    options = arguments.parse_args()
    arms = (GRPO, VPO) if options.quick else CORE if options.arms == "core" else (*CORE, *OTHERS)
    seeds = range(first_seed, first_seed + (1 if options.quick else options.seeds))
    base = Settings(arms=arms, task_name=name, **(QUICK if options.quick else {}))
    folder = options.out.with_name(options.out.name + ("-quick" if options.quick else ""))
    studies = [(folder / f"seed{seed}", replace(base, seed=seed)) for seed in seeds]
    for study in studies:  # seed by seed, so that a stopped benchmark leaves whole seeds
        run_studies([study], search=False)
    tables = Tables(studies, arms)
    tables.print()
    further, targets = checks(tables)
    results = {**tables.results(), "search against": tables.differences(), **further}
    suffix = "" if options.arms == "core" else "-all-arms"
    suffix += "" if options.quick or options.seeds == 5 else f"-{options.seeds}-seeds"
    return finish(name + suffix, options.quick, results, [*targets, *tables.domination()])
