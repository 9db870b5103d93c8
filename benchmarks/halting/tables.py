"""The tables and targets of the laboratory."""

from __future__ import annotations

import math
import statistics
from typing import Any

from halting.measuring import ORACLES, RULES, SLACK, UNROLLED
from halting.study import BASELINE_TASKS, TOLERANCES
from targets import Target

from eval.bootstrap import mean_and_error

Results = list[dict[str, Any]]
SHARE = 0.60  # of the best fixed depth's loops
SEEDS = 3


def _over(values: list[float], digits: int = 3) -> str:
    known = [value for value in values if not math.isnan(value)]
    return str(mean_and_error(known)) if known else "-"


def rules_table(task: str, results: Results) -> None:
    seeds, cap = [r["seed"] for r in results], results[0]["cap"]
    print(
        f"\n{task}, seeds {seeds}, cap {cap}: every rule with the setting chosen on the other half of the test, there"
    )
    print(f"as accurate as the best fixed depth; by hindsight, the fewest loops within {SLACK:.1%} of the best")
    head = f"{'rule':22} {'test: solved':>15} {'loops':>14} {'by hindsight':>14} {'stop tells':>11} {'right if':>9}"
    print(head + f" {'right':>7} {'shifted: solved':>16} {'loops':>14} {'best fixed':>11}")
    print(f"{'':22} {'':>15} {'':>14} {'':>14} {'(AUROC)':>11} {'stopped':>9} {'at cap':>7}")
    for rule in RULES:
        each = [r["rules"][rule] for r in results]
        test, shifted = ([e["chosen"][split] for e in each] for split in ("test", "shifted"))
        found = [e["hindsight"] for e in each]
        missed = sum(f is None for f in found)
        hindsight = f"missed by {missed}" if missed else _over([f["loops"] for f in found])

        def plain(name: str, scores: list[dict[str, float]]) -> str:
            known = [s[name] for s in scores if not math.isnan(s[name])]
            return f"{statistics.fmean(known):.3f}" if known else "-"

        print(
            f"{rule:22} {_over([s['accuracy'] for s in test]):>15} {_over([s['loops'] for s in test]):>14} "
            f"{hindsight:>14} {plain('tells', test):>11} {plain('right_if_stopped', test):>9} "
            f"{plain('right_at_cap', test):>7} {_over([s['accuracy'] for s in shifted]):>16} "
            f"{_over([s['loops'] for s in shifted]):>14} "
            f"{statistics.fmean(e['best fixed accuracy']['shifted'] for e in each):>11.3f}"
        )


def curve_table(task: str, results: Results) -> None:
    print(f"\n{task}: what a tolerance of the fixed point buys (solved, mean loops, share that stopped)")
    print(f"{'tol':>7}" + "".join(f"{split:>27}" for split in ("test", "shifted")))
    for tol in TOLERANCES:
        cells = []
        for split in ("test", "shifted"):
            scores = [r["curve"][split][str(tol)] for r in results]
            figures = [statistics.fmean(s[name] for s in scores) for name in ("accuracy", "loops", "stopped")]
            cells.append("{:>12.3f} {:>7.1f} {:>6.2f}".format(*figures))
        print(f"{tol:>7g}" + "".join(cells))
    for split in ("test", "shifted"):
        scores = [r["solver"][split] for r in results]
        print(
            f"FPRM's damped solver, tol .1, {split}: solved {_over([s['accuracy'] for s in scores])}, "
            f"loops {_over([s['loops'] for s in scores])}, stopped {_over([s['stopped'] for s in scores])}, "
            f"right if stopped {_over([s['right_if_stopped'] for s in scores])}, "
            f"right at cap {_over([s['right_at_cap'] for s in scores])}"
        )


def facts_table(task: str, results: Results) -> None:
    print(f"\n{task}: blind controls and the solver, largest size of the test (share of tokens / of instances)")
    for name in results[0]["controls"]:
        tokens, whole = ([r["controls"][name][unit] for r in results] for unit in ("tokens", "instances"))
        print(f"  {name:30} {_over(tokens):>15} {_over(whole):>15}")
    print(f"  hardness of the test, quartiles: {results[0]['hardness']}")
    print(f"  {by_difficulty(results)}")
    print(f"\n{task}: models after all loops, and with the rule they were trained with (solved, loops)")
    for recipe in results[0]["recipes"]:
        each = [r["recipes"][recipe] for r in results]
        line = f"  {recipe:12}"
        for split in ("test", "shifted"):
            line += f" {split}: {_over([e[split]['at cap'] for e in each]):>14}"
            if "own rule" in each[0][split]:
                own = [e[split]["own rule"] for e in each]
                line += f", own rule {_over([s['accuracy'] for s in own]):>14} in {_over([s['loops'] for s in own])}"
        print(line)


def ratio(results: Results, rule: str) -> float:
    """Mean over seeds of a rule's loops over those of the smallest fixed depth that is as accurate.

    The rule's setting was chosen on other instances; the fixed depth is chosen on these very ones, which favours it.
    NaN if the rule is less accurate than the best fixed depth, by more than ``SLACK`` on average over seeds.
    """
    mine = [r["rules"][rule]["chosen"]["test"] for r in results]
    lost = [r["rules"][rule]["best fixed accuracy"]["test"] - m["accuracy"] for r, m in zip(results, mine, strict=True)]
    if statistics.fmean(lost) > SLACK:
        return float("nan")
    shares = []
    for result, score in zip(results, mine, strict=True):
        by_depth = result["fixed depths"]["loopwm" if rule == UNROLLED else "fprm"]
        enough = min(score["accuracy"] - SLACK, max(by_depth)) - 1e-4  # they are rounded
        shares.append(score["loops"] / next(i + 1 for i, accuracy in enumerate(by_depth) if accuracy >= enough))
    return statistics.fmean(shares)


def by_difficulty(results: Results) -> str:
    """The check on the result: a fixed depth for each size or number of blanks, which one sees without looping."""
    fixed = [r["by visible difficulty"] for r in results]
    mine = [r["rules"]["fixed point"]["chosen"]["test"]["loops"] for r in results]
    shares = [m / f["loops"] for m, f in zip(mine, fixed, strict=True)]
    return (
        f"a fixed depth for each size or quarter of blanks, with hindsight: {_over([f['accuracy'] for f in fixed])} in "
        f"{_over([f['loops'] for f in fixed])}; the fixed point needs {_over(shares)} of them"
    )


def targets_of(by_task: dict[str, Results]) -> list[Target]:
    found, enough = [], 0
    for task, results in by_task.items():
        share = ratio(results, "fixed point")
        found.append(Target(f"{task}: loops of the fixed point / best fixed depth", share, SHARE, at_least=False))
        enough += share <= SHARE and len(results) >= SEEDS
    found.append(
        Target(f"tasks on which it needs at most {SHARE:.0%} of the loops, over {SEEDS} seeds or more", enough, 2)
    )
    for task in BASELINE_TASKS:
        for results in filter(None, [by_task.get(task)]):
            for split in ("test", "shifted"):
                for other in ("trm", "act_scratch"):
                    lead = statistics.fmean(
                        100 * (r["recipes"]["fprm"][split]["at cap"] - r["recipes"][other][split]["best"])
                        for r in results
                    )
                    found.append(
                        Target(f"{task}, {split}: points that FPRM solves beyond {other}", round(lead, 6), 0.0)
                    )
    return found


def others(by_task: dict[str, Results]) -> None:
    """Every rule's loops against the best fixed depth."""
    print("\nloops / those of the smallest fixed depth as accurate (-: over .5 points below the best)")
    print(f"{'rule':22}" + "".join(f"{task:>10}" for task in by_task))
    for rule in RULES:
        if rule not in ("fixed depth", *ORACLES):
            shares = [ratio(results, rule) for results in by_task.values()]
            print(f"{rule:22}" + "".join(f"{'-' if math.isnan(s) else f'{s:.2f}':>10}" for s in shares))
