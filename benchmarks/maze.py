"""Does VPO keep a policy diverse and competent where GRPO narrows it, and is that no artefact?

Each seed warm-starts a fresh looped policy on 5x5 mazes and trains it on with GRPO (single answers), with the sum over
several answers of the VPO authors' baseline, and with VPO, all with the same number of generated tokens; then 30
answers a policy are drawn for each of 100 held-out mazes. Beside them stand the base before RL, a blind control (the
best fixed routes), the oracle (every route), and the same policies with shuffled prompts. About 6 minutes a seed on 2
cores; killed and started again it goes on where it was.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from targets import Target, finish, parser

from eval.bootstrap import Estimate, mean_and_error
from vpo.cli.study.checks import acceptance
from vpo.cli.study.runner import run_studies
from vpo.cli.study.settings import GRPO, QUICK, SUM, VPO, Settings
from vpo.cli.study.tables import blind_curves, oracle_values, pool_curves, stage_facts

ARMS = (GRPO, SUM, VPO)


def main() -> int:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0 (default 3)")
    arguments.add_argument("--out", type=Path, default=Path("runs/benchmark-maze"), help="where the runs are kept")
    options = arguments.parse_args()
    seeds = range(1 if options.quick else options.seeds)
    base = Settings(arms=ARMS, **(QUICK if options.quick else {}))
    folder = options.out.with_name(options.out.name + ("-quick" if options.quick else ""))
    studies = [(folder / f"seed{seed}", replace(base, seed=seed)) for seed in seeds]
    run_studies(studies, search=False)

    blind = blind_curves(base)
    oracle, oracle_expected = oracle_values(base)
    last = base.pool_answers
    ks = sorted({k for k in (1, 3, 6, last) if k <= last})
    metrics: dict[str, dict[str, list[float]]] = {}
    checks: dict[str, list[float]] = {}
    thresholds: dict[str, float] = {}
    for run, settings in studies:
        policies = {"base": 3, **{arm.name: arm.num_answers for arm in ARMS}}
        curves = {name: pool_curves(run, settings, name, m) for name, m in policies.items()}
        shuffled = {name: pool_curves(run, settings, name, m, shuffled=True) for name, m in policies.items()}
        rows = {
            **curves,
            "base, single answers": pool_curves(run, settings, "base", 1),
            **{f"{name}, shuffled prompts": values for name, values in shuffled.items()},
        }
        for name, values in rows.items():
            row = metrics.setdefault(name, {})
            for k in ks:
                row.setdefault(f"best@{k}", []).append(values.at(k)[0])
            for k in ks:
                row.setdefault(f"E_w[{k}]", []).append(values.at(k)[1])
            for label, value in [("L1", values.pool_l1), ("distinct", values.distinct), ("compl.", values.valid)]:
                row.setdefault(label, []).append(value)
        for arm in ARMS:
            facts = stage_facts(run, f"arms/{arm.name}")
            metrics[arm.name].setdefault("tokens", []).append(facts["generated_tokens"])
            metrics[arm.name].setdefault("seconds", []).append(facts["seconds"])
        for check in acceptance(curves, shuffled, blind, settings):
            checks.setdefault(check.name, []).append(check.figure)
            thresholds[check.name] = check.target

    print_table(metrics, blind, oracle, oracle_expected, ks, len(seeds))
    targets = [Target(name, float(np.mean(figures)), thresholds[name]) for name, figures in checks.items()]
    for name in ("E_w[best@3]: VPO - GRPO", "E_w[best@3]: VPO - base"):
        estimate = mean_and_error(checks[name])
        if len(seeds) > 1:  # "beyond two standard errors": the paired difference, over seeds
            targets.append(Target(f"{name}, in standard errors", estimate.mean / max(estimate.se, 1e-9), 2.0))
    results = {
        "seeds": list(seeds),
        "metrics": {
            name: {key: {"mean": float(np.mean(v)), "by_seed": v} for key, v in row.items()}
            for name, row in metrics.items()
        },
        "blind": {f"best@{k}": blind.at(k)[0] for k in ks}
        | {f"E_w[{k}]": blind.at(k)[1] for k in ks}
        | {"L1": blind.pool_l1, "distinct": blind.distinct, "compl.": blind.valid},
        "oracle": {"best": float(oracle.mean()), "E_w": float(oracle_expected.mean())},
        "checks": checks,
    }
    name = "maze" if options.quick or options.seeds == 3 else f"maze-{options.seeds}-seeds"
    return finish(name, options.quick, results, targets)


def print_table(metrics, blind, oracle, oracle_expected, ks, num_seeds) -> None:
    """Mean and standard error over seeds, in thousandths where there is room for no more."""
    columns = [*(f"best@{k}" for k in ks), *(f"E_w[{k}]" for k in ks), "L1", "distinct", "compl.", "tokens", "seconds"]
    print(f"\n{num_seeds} seed(s), mean (standard error), held-out mazes")
    print(f"{'':28}" + "".join(f"{name:>14}" for name in columns))
    for name, row in metrics.items():
        cells = [show(mean_and_error(row[column])) if column in row else "" for column in columns]
        print(f"{name:28}" + "".join(f"{cell:>14}" for cell in cells))
    fixed = [f"{blind.at(k)[0]:.3f}" for k in ks] + [f"{blind.at(k)[1]:.3f}" for k in ks] + [f"{blind.pool_l1:.3f}"]
    print(f"{'blind (fixed routes)':28}" + "".join(f"{cell:>14}" for cell in fixed))
    best = [f"{oracle.mean():.3f}"] * len(ks) + [f"{oracle_expected.mean():.3f}"] * len(ks)
    print(f"{'oracle (all routes)':28}" + "".join(f"{cell:>14}" for cell in best))


def show(estimate: Estimate) -> str:
    if estimate.mean >= 1000:
        return f"{estimate.mean:.0f}"
    error = "" if np.isnan(estimate.se) else f" ({estimate.se:.3f})"
    return f"{estimate.mean:.3f}{error}"


if __name__ == "__main__":
    sys.exit(main())
