"""From the searches to one report: tables, curves, paired differences, and the budgets at which an arm is not ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import mean_and_error
from eval.comparison import crossed_band, paired
from eval.reach import reach
from eval.report import Curve
from eval.report.comparison import Cell, ComparisonReport, Difference
from eval.report.data import finite
from eval.signed_rank import signed_rank_p
from search.curves import Axis
from search.records import SearchResult
from vpo.cli.hardware import hardware
from vpo.cli.search_compare.config import BEST_OF_N, Config
from vpo.cli.search_compare.findings import Lead, lead
from vpo.cli.search_compare.measures import AXES, Arm, grids_of, measure
from vpo.cli.search_compare.runs import Run, arm_name
from vpo.record.surroundings import versions

Array = NDArray[np.float64]

_UNITS: dict[Axis, str] = {"completion_tokens": "completion tokens", "answers": "number of answers"}
_KINDS = ("best", "E_w[best]")
_COMPARED = (
    "best", "E_w[best]", "AUC over tokens", "AUC over answers", "hypervolume", "signatures", "duplicates",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """An arm and the one that it is held against."""

    arm: str
    against: str
    reference: str  # the policy of ``against`` where policies differ; "" for best-of-n with the same policy


class Key(NamedTuple):
    """Which difference of curves: of a pair, over an axis, under w* ("best") or random tastes ("E_w[best]")."""

    pair: Pair
    axis: Axis
    kind: str


def pairs_of(config: Config) -> list[Pair]:
    """Each procedure against best-of-n with the same policy, each policy against references with the same procedure."""
    found = []
    for policy in config.policies:
        for search in config.procedures:
            arm = arm_name(policy.name, search.name)
            if search.name != BEST_OF_N:
                found.append(Pair(arm, arm_name(policy.name, BEST_OF_N), ""))
            for reference in config.references:
                if policy.name != reference:
                    found.append(Pair(arm, arm_name(reference, search.name), reference))
    return found


def measure_all(config: Config, done: Sequence[tuple[Run, Sequence[SearchResult]]]) -> dict[str, Arm]:
    """Measure every arm over the seeds that all arms have."""
    found: dict[str, dict[int, Sequence[SearchResult]]] = {}
    is_floor = {}
    for run, results in done:
        found.setdefault(run.arm, {})[run.seed] = results
        is_floor[run.arm] = run.search.name == BEST_OF_N
    shared = [seed for seed in config.seeds if all(seed in by_seed for by_seed in found.values())]
    results_of = {arm: [by_seed[seed] for seed in shared] for arm, by_seed in found.items()}
    grids = grids_of(results_of, config.budget, config.floor, config.reference)
    return {arm: measure(results, grids, is_floor[arm]) for arm, results in results_of.items()}


def summarise(config: Config, done: Sequence[tuple[Run, Sequence[SearchResult]]], command: str) -> ComparisonReport:
    """The report of all searches that are done.

    Args:
        config: What was asked for.
        done: Searches with their results: for one seed at least, those of all arms.
        command: The command line.
    """
    arms = measure_all(config, done)
    results_of = {arm: measured.results for arm, measured in arms.items()}
    grids = grids_of(results_of, config.budget, config.floor, config.reference)
    seeds, problems = next(iter(arms.values())).figures["best"].shape
    targets = _targets(config, arms)
    table = {arm: {**_cells(measured), **_reached(measured, targets, config)} for arm, measured in arms.items()}
    leads = {
        Key(pair, axis, kind): lead(_curve(arms[pair.arm], kind)[axis], _curve(arms[pair.against], kind)[axis], points)
        for kind in _KINDS
        for pair in pairs_of(config)
        for axis, points in grids.points.items()
    }
    return ComparisonReport(
        title=f"Search on {', '.join(source.name for source in config.problems)}",
        lead=(
            f"{len(config.policies)} policies, {len(config.procedures)} procedures; {config.budget:,} generated tokens "
            f"for each of {problems} problems, {seeds} seed(s), the same for all. Best-of-n, independent draws and the "
            "best of them kept, is the floor that every procedure has to beat."
        ),
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware(),
        versions=versions("vpo", "torch", "transformers"),
        table=table,
        charts=_charts(config, arms, grids.points, leads),
        differences=_differences(config, arms, targets),
        notes=_notes(config, arms, seeds, problems, grids.limits["answers"]),
        findings=[
            found.sentence(key.pair.arm, key.pair.against, _UNITS[key.axis])
            for key, found in leads.items()
            if key.kind == "best" and key.axis == "completion_tokens"
        ],
        details=_details(config, arms, targets, leads, grids.limits),
    )


def _targets(config: Config, arms: Mapping[str, Arm]) -> dict[str, Array]:
    """Name -> (P,) what each problem has to reach."""
    floor = arms[arm_name(config.references[0], BEST_OF_N)].figures["best"]
    found = {}
    for target in config.targets:
        if target == BEST_OF_N:
            found[f"the best-of-n of {config.references[0]}"] = floor.mean(axis=0)
        else:
            found[f"{target:g}"] = np.full(floor.shape[1], float(target))
    return found


def _cells(arm: Arm) -> dict[str, Cell]:
    return {name: _cell(values) for name, values in arm.figures.items()}


def _cell(values: Array) -> Cell:
    means = [float(np.nanmean(row)) for row in values if not np.isnan(row).all()]
    if not means:
        return Cell(None)
    estimate = mean_and_error(means)
    return Cell(estimate.mean, estimate.se)


def _reached(arm: Arm, targets: Mapping[str, Array], config: Config) -> dict[str, Cell]:
    found = {}
    for name, goals in targets.items():
        costs = arm.costs(goals.tolist())
        all_of_them = reach(costs)
        found[f"reaches {name}"] = _cell(np.isfinite(costs).astype(float))
        found[f"tokens of those, {name}"] = Cell(all_of_them.median_of_reached)
        found[f"tokens of all, {name}"] = Cell(all_of_them.median, instead=f"> {config.budget:,}")
    return found


def _charts(
    config: Config, arms: Mapping[str, Arm], points: Mapping[Axis, Array], leads: Mapping[Key, Lead]
) -> dict[tuple[str, str, str], dict[str, Curve]]:
    charts: dict[tuple[str, str, str], dict[str, Curve]] = {}
    for title, kind, unit in (
        ("Fixed taste w*: best so far", "best", "w* · r of the best"),
        ("Random tastes: E_w[best]", "E_w[best]", "E_w[w · r] of the best"),
    ):
        for axis in AXES:
            drawn = {}
            for name, arm in arms.items():
                band = crossed_band(_curve(arm, kind)[axis])
                drawn[name] = Curve(list(points[axis]), list(band.mean), list(band.lo), list(band.hi))
            charts[title if axis == "completion_tokens" else f"{title}, by answers", _UNITS[axis], unit] = drawn
    # Before that, one policy's first answer is there and another's is not: a difference that dwarfs all others
    start = max(config.longest(policy) for policy in config.policies)
    titles = {name: f"Policy: w* · r less that of {name}, same procedure" for name in config.references}
    for reference, title in {**titles, "": "Procedure: w* · r less that of best-of-n, same policy"}.items():
        drawn = {
            key.pair.arm: Curve(
                *(list(values[each.grid >= start]) for values in (each.grid, each.mean, each.lo, each.hi))
            )
            for key, each in leads.items()
            if (key.pair.reference, key.axis, key.kind) == (reference, "completion_tokens", "best")
        }
        if drawn:
            charts[title, _UNITS["completion_tokens"], "difference of w* · r"] = drawn
    return charts


def _curve(arm: Arm, kind: str) -> Mapping[Axis, Array]:
    return arm.best if kind == "best" else arm.expected


def _differences(config: Config, arms: Mapping[str, Arm], targets: Mapping[str, Array]) -> list[Difference]:
    figures = {
        arm: {
            **{name: measured.figures[name] for name in _COMPARED},
            **{
                f"reaches {name}": np.isfinite(measured.costs(goals.tolist())).astype(float)
                for name, goals in targets.items()
            },
        }
        for arm, measured in arms.items()
    }
    found = []
    for pair in pairs_of(config):
        for name, mine in figures[pair.arm].items():
            theirs = figures[pair.against][name]
            whole = ~np.isnan(mine).any(axis=0) & ~np.isnan(theirs).any(axis=0)
            if whole.any():
                a, b = mine[:, whole], theirs[:, whole]
                each = paired([*a], [*b])
                p = signed_rank_p(a.mean(axis=0), b.mean(axis=0))
                found.append(Difference(pair.arm, pair.against, name, each.mean, each.lo, each.hi, p))
    return found


def _notes(config: Config, arms: Mapping[str, Arm], seeds: int, problems: int, answers: float) -> list[str]:
    notes = [
        "Best-of-n has no order: its curves and areas are means over the orders in which its draws could have come, "
        "which has the same expectation as one order and less noise. Costs to a target are of the order that it had.",
        f"AUC is the mean height of the best-so-far curve: over the whole token budget, and over {answers:,.0f} "
        "answers, which every arm could pay for.",
        "A search that does not reach a target is counted as such. “Tokens of those” is the median of the searches "
        "that reach it, which are others for each arm; “tokens of all” counts the rest as more than the budget.",
        "Intervals hold at each budget and for each figure by itself, p-values are Wilcoxon's signed ranks over "
        "problems and are not corrected for their number: among twenty comparisons of equals one looks clear.",
    ]
    if seeds < 3:
        notes.append("Fewer than three seeds: how much one search differs from the next is hardly known.")
    if problems < 10:
        notes.append("Fewer than ten problems: nothing is known of problems that were not searched.")
    silent = [arm for arm, measured in arms.items() if not any(r.candidates for row in measured.results for r in row)]
    if silent:
        notes.append(f"No answer could be read of {', '.join(silent)}.")
    return notes


def _details(
    config: Config,
    arms: Mapping[str, Arm],
    targets: Mapping[str, Array],
    leads: Mapping[Key, Lead],
    limits: Mapping[Axis, float],
) -> dict[str, Any]:
    """What the page does not show: every search by itself, best-of-n in its own order, differences by budget."""
    return {
        "config": json_of(asdict(config)),
        "area_limits": dict(limits),
        "targets": {name: goals.tolist() for name, goals in targets.items()},
        "searches": {
            arm: {
                **{name: json_of(values.tolist()) for name, values in measured.figures.items()},
                **{
                    f"tokens to {name}": json_of(measured.costs(goals.tolist()).tolist())
                    for name, goals in targets.items()
                },
            }
            for arm, measured in arms.items()
        },
        "single_order": {
            arm: {axis: measured.single_order[axis].mean(axis=(0, 1)).tolist() for axis in AXES}
            for arm, measured in arms.items()
        },
        "differences_by_budget": [
            {
                "arm": key.pair.arm,
                "against": key.pair.against,
                "axis": key.axis,
                "curve": key.kind,
                **{name: json_of(getattr(each, name).tolist()) for name in ("grid", "mean", "lo", "hi")},
                "not_above": each.grid[~each.above].tolist(),
            }
            for key, each in leads.items()
        ],
    }


def json_of(value: Any) -> Any:
    """Plain JSON values: NaN and infinity become None, paths text."""
    if isinstance(value, dict):
        return {str(key): json_of(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_of(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return finite(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
