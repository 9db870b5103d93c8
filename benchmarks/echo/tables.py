"""Figures of the arms over seeds, the controls, and what was asked of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from targets import Target

from echo.collapse import SHARE, measured_panel
from echo.plan import GRPO, NAMED, NULL, STRONGER, VPO, Plan
from eval.bootstrap import mean_and_error
from eval.metrics import best_at_k_curve
from vpo.tasks.controls import best_blind_set, reward_table
from vpo.tasks.format_mixture.solutions import FORMATS

KS = (1, 4, 8, 32)
LAST = 5  # steps that the end of a run is averaged over
MOST_CPU_SECONDS = 2400.0  # of a seed: 20 minutes on 2 cores
Runs = Mapping[str, Sequence[dict[str, Any]]]  # arm -> a run a seed


def row_of(run: dict[str, Any]) -> dict[str, float]:
    """One run: the end of training, and the panel."""
    last = run["steps"][-LAST:]
    row = {f"share {name}": float(np.mean([step["shares"][name] for step in last])) for name in (*FORMATS, "other")}
    row |= {"right": float(np.mean([step["accuracy"] for step in last]))}
    for name in ("alpha", "gamma"):  # means of chances, not of their inverses
        row[name] = 1 / float(np.mean([1 / step[name] for step in last]))
    row |= {"top share": max(row[f"share {name}"] for name in FORMATS)}
    row |= {"kl a token": float(np.mean(run["kl"][-LAST:]))} if run["kl"][-1] is not None else {}
    row |= {"steps": len(run["steps"]), "tokens": run["tokens"], "cpu seconds": run["cpu_seconds"]}
    return {**row, **pass_rates(run["panel"])}


def base_row(panel: dict[str, Any]) -> dict[str, float]:
    """The base on the panel."""
    found = measured_panel(panel)
    row = {f"share {name}": share for name, share in found["shares"].items()}
    row |= {f"right {name}": found["accuracies"][name] or 0.0 for name in FORMATS}
    row |= {"right": found["accuracy"], "alpha": found["alpha"], "gamma": found["gamma"]}
    return {**row, "top share": max(row[f"share {name}"] for name in FORMATS), **pass_rates(panel)}


def pass_rates(panel: dict[str, Any]) -> dict[str, float]:
    """pass@k on the panel; of sets, whole completions in random order and the first answers of one more."""
    correct = np.array(panel["correct"], dtype=float)
    ks = [k for k in KS if k <= correct.shape[1] * correct.shape[2]]
    return {f"pass@{k}": float(v) for k, v in zip(ks, best_at_k_curve(correct, ks).mean(axis=0), strict=True)}


def blind_row(plan: Plan) -> dict[str, float]:
    """The numbers that are right most often, without looking at the problem."""
    task = plan.task
    answers = [f"the answer is {number} ." for number in range(1, task.largest + 1)]
    table = reward_table(task, answers, list(islice(task.examples("train"), 500)))
    chosen = best_blind_set(table, np.array([task.w_star]), len(answers))
    held_out = reward_table(task, answers, list(islice(task.examples("test"), plan.base["panel_prompts"])))
    best = np.maximum.accumulate(held_out[:, chosen, 0], axis=1).mean(axis=0)
    return {f"pass@{k}": float(best[min(k, len(best)) - 1]) for k in KS}


def first_alarm(run: dict[str, Any], of: str = "alarms") -> dict[str, Any] | None:
    """The first alarm over formats, or over ``all facets``."""
    alarms = run["watch"][of]
    return alarms[0] if alarms else None


def winner(run: dict[str, Any]) -> str:
    """The format with the largest share at the end."""
    row = row_of(run)
    return max(FORMATS, key=lambda name: row[f"share {name}"])


def table(bases: Sequence[dict[str, Any]], runs: Runs, plan: Plan) -> dict[str, dict[str, list[float]]]:
    """Row -> metric -> a value a seed."""
    counts = sorted({1, plan.base["num_answers"]})
    rows = {
        f"base, {'single answers' if count == 1 else f'sets of {count}'}": [
            base_row(base[f"panel_{count}"]) for base in bases
        ]
        for count in counts
    }
    rows |= {name: [row_of(run) for run in own] for name, own in runs.items()}
    return {name: {key: [row[key] for row in own] for key in own[0]} for name, own in rows.items()}


def show(rows: Mapping[str, Mapping[str, Sequence[float]]], runs: Runs, blind: Mapping[str, float]) -> None:
    """Print the table, the alarms and the course of the shares."""
    columns = [f"share {name}" for name in FORMATS] + ["right", "alpha", "gamma"]
    columns += [key for key in (f"pass@{k}" for k in KS) if key in rows[next(iter(rows))]]
    columns += ["kl a token", "steps", "tokens", "cpu seconds"]
    seeds = len(rows[next(iter(rows))]["right"])
    print(f"\n{seeds} seed(s), mean (standard error); training: the last {LAST} steps; pass@k: held-out panel")
    print(f"{'':22}" + "".join(f"{name:>15}" for name in columns))
    for name, row in rows.items():
        print(f"{name:22}" + "".join(f"{_cell(row[key]) if key in row else '':>15}" for key in columns))
    print(f"{'blind (fixed numbers)':22}" + "".join(f"{f'{blind[k]:.3f}' if k in blind else '':>15}" for k in columns))
    base = next(iter(rows.values()))
    print("base, right by format: " + ", ".join(f"{name} {_cell(base[f'right {name}'])}" for name in FORMATS))
    print("\neach seed: step of the first alarm over formats (epoch) / over all facets; verdict; winner at the end")
    for name, own in runs.items():
        cells = []
        for run in own:
            alarm, wider = first_alarm(run), first_alarm(run, "all facets")
            said = f"{alarm['step']} ({alarm['epoch']:.2f})" if alarm else "none"
            said += f" / {wider['step'] if wider else 'none'}"
            cells.append(f"{said}; {run['watch']['verdict']}; {winner(run)}")
        print(f"{name:22}" + "   ".join(f"{cell:48}" for cell in cells))
    print(f"\nshares of {' / '.join(FORMATS)}, and of right answers, over the steps (mean over seeds)")
    for name, own in runs.items():
        steps = min(len(run["steps"]) for run in own)
        cells = []
        for step in sorted({*range(0, steps, 8), steps - 1}):
            there = [run["steps"][step] for run in own]
            shares = {each: float(np.mean([one["shares"][each] for one in there])) for each in FORMATS}
            right = float(np.mean([one["accuracy"] for one in there]))
            cells.append(_course({"step": step, "shares": shares, "accuracy": right}))
        print(f"{name:22}" + "   ".join(cells))


def targets(
    bases: Sequence[dict[str, Any]], rows: Mapping[str, Mapping[str, Sequence[float]]], runs: Runs,
    blind: Mapping[str, float],
) -> list[Target]:  # fmt: skip
    """What the issue asks for, and whether the ground is fit for it."""
    base = rows["base, single answers"]
    rights = [float(np.mean(base[f"right {name}"])) for name in FORMATS]
    frequent = [max(FORMATS, key=lambda name: base[f"share {name}"][i]) for i in range(len(bases))]
    found = [
        Target("base: share of right answers of its worst format", min(rights), 0.1),
        Target("base: share of right answers of its best format", max(rights), 0.9, at_least=False),
        Target("base: pass@1 over the blind control's", float(np.mean(base["pass@1"])) - blind["pass@1"], 0.15),
    ]
    if GRPO.name in runs:
        own = runs[GRPO.name]
        found.append(Target("GRPO: seeds with an alarm in the first epoch", _share(map(first_alarm, own)), 1.0))
        top = float(np.mean(rows[GRPO.name]["top share"]))
        found.append(Target("GRPO: largest share at the end", top, SHARE))
        others = [winner(run) != name for run, name in zip(own, frequent, strict=True)]
        found.append(Target("GRPO: seeds in which another format wins than the most frequent", _share(others), 1.0))
        for arm in (VPO, NAMED, *STRONGER):
            if arm.name in runs:
                later = [_is_later(a, b) for a, b in zip(runs[arm.name], own, strict=True)]
                found.append(Target(f"{arm.name}: seeds with a later alarm than GRPO's, or none", _share(later), 1.0))
    for arm in (VPO, NAMED, STRONGER[-1]):
        if arm.name in runs:
            top = float(np.mean(rows[arm.name]["top share"]))
            found.append(Target(f"{arm.name}: largest share at the end", top, SHARE, at_least=False))
    if NULL.name in runs:
        raised = sum(len(run["watch"][of]) for run in runs[NULL.name] for of in ("alarms", "all facets"))
        found.append(Target("base, resampled: alarms", raised, 0, False))
    return [*found, Target("CPU seconds of a seed, all arms", cpu_seconds(bases, runs), MOST_CPU_SECONDS, False)]


def cpu_seconds(bases: Sequence[dict[str, Any]], runs: Runs) -> float:
    """Of everything, mean over seeds."""
    parts = [*bases, *(run for own in runs.values() for run in own)]
    return sum(part["cpu_seconds"] + part["panel_cpu_seconds"] for part in parts) / len(bases)


def results(
    rows: Mapping[str, Mapping[str, Sequence[float]]], runs: Runs, blind: Mapping[str, float]
) -> dict[str, Any]:
    """Everything, for the JSON file."""
    return {
        "metrics": {
            name: {key: {"mean": float(np.mean(v)), "by_seed": list(v)} for key, v in row.items()}
            for name, row in rows.items()
        },
        "blind": dict(blind),
        "alarms": {name: [run["watch"]["alarms"] for run in own] for name, own in runs.items()},
        "alarms over all facets": {name: [run["watch"]["all facets"] for run in own] for name, own in runs.items()},
        "verdicts": {name: [run["watch"]["verdict"] for run in own] for name, own in runs.items()},
        "winners": {name: dict(Counter(map(winner, own))) for name, own in runs.items()},
        "bounds": {name: own[0]["watch"]["bounds"] for name, own in runs.items()},
        "guarantee": next(iter(runs.values()))[0]["watch"]["guarantee"],
        "assumption": next(iter(runs.values()))[0]["watch"]["assumption"],
        "course (shares of python / tagged / prose, right answers)": {
            name: [[_course(step) for step in run["steps"][::4]] for run in own] for name, own in runs.items()
        },
    }


def _course(step: dict[str, Any]) -> str:
    shares = "/".join(f"{step['shares'][each]:.2f}".lstrip("0") for each in FORMATS)
    return f"{step['step']}: {shares}, {step['accuracy']:.2f}"


def _is_later(run: dict[str, Any], than: dict[str, Any]) -> bool:
    """By generated tokens: a step of sets and one of single answers do not generate the same."""
    mine, theirs = first_alarm(run), first_alarm(than)
    if mine is None:
        return True
    return theirs is not None and _tokens_until(run, mine["step"]) > _tokens_until(than, theirs["step"])


def _tokens_until(run: dict[str, Any], step: int) -> int:
    return sum(each["tokens"] for each in run["steps"] if each["step"] <= step)


def _share(flags: Any) -> float:
    values = [bool(flag) for flag in flags]
    return sum(values) / len(values)


def _cell(values: Sequence[float]) -> str:
    estimate = mean_and_error(values)
    if estimate.mean >= 20:
        return f"{estimate.mean:.0f}"
    return f"{estimate.mean:.3f}" + ("" if np.isnan(estimate.se) else f" ({estimate.se:.3f})")
