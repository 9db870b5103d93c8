"""From the answers that the runs left to one report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import bootstrap_band, mean_and_error
from eval.comparison import PolicyResult, paired, read_policy
from eval.report import Curve
from eval.report.comparison import Cell, ComparisonReport, Difference
from vpo.cli.compare.runs import BASE, Plan, Run
from vpo.cli.hardware import hardware
from vpo.record.surroundings import versions

Array = NDArray[np.float64]


def summarise(plan: Plan, runs: Sequence[Run], command: str, title: str) -> ComparisonReport:
    """Measure all runs that are done.

    Args:
        plan: What was asked for.
        runs: Runs with their answers, base first.
        command: The command line.
        title: Heading of the report.

    Returns:
        The report: what is done so far, if not all is.

    Raises:
        ValueError: Two runs have different components, or no run read any answer.
    """
    components, w_star = _components(runs)
    results: dict[str, list[PolicyResult]] = {}
    of_arm: dict[str, list[Run]] = {}
    for run in runs:
        found = read_policy(run.folder / "rollouts-eval", run.num_answers, w_star, len(components))
        results.setdefault(run.arm, []).append(found)
        of_arm.setdefault(run.arm, []).append(run)
    measures = _measures(plan.answers)
    table = {
        arm: {**{name: _cell(list(map(of, found))) for name, of in measures.items()}, **_costs(of_arm[arm])}
        for arm, found in results.items()
    }
    return ComparisonReport(
        title=title,
        lead=(
            f"{len(results)} policies; {plan.budget:,} generated tokens of training each, {plan.seeds} seed(s); "
            f"{plan.answers} answers to each of {len(next(iter(results.values()))[0].best)} test prompts. Components: "
            f"{', '.join(components)}; weights of deployment w*: {', '.join(f'{w:.3g}' for w in w_star)}."
        ),
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=hardware(),
        versions=versions("vpo", "torch", "transformers", "trl"),
        table=table,
        charts=_charts(results),
        differences=_differences(results, measures),
        notes=_notes(results, of_arm, plan),
    )


def _components(runs: Sequence[Run]) -> tuple[list[str], list[float]]:
    seen: dict[str, tuple[list[str], list[float]]] = {}
    for run in runs:
        facts = json.loads((run.folder / "evaluation.json").read_text())
        if facts["components"]:
            seen[json.dumps(facts)] = (facts["components"], facts["w_star"])
    if len(seen) > 1:
        raise ValueError(f"the runs have different components or weights: {', '.join(seen)}. Compare them apart.")
    if not seen:
        raise ValueError("no run has given an answer that could be read: there is nothing to compare. See the logs.")
    return next(iter(seen.values()))


def _measures(answers: int) -> dict[str, Callable[[PolicyResult], Array]]:
    """Name -> a value for each prompt."""
    ks = sorted({1, min(3, answers), answers})
    found: dict[str, Callable[[PolicyResult], Array]] = {}
    for k in ks:
        found[f"best@{k}"] = lambda result, k=k: result.best[:, k - 1]  # type: ignore[misc]
    for k in ks:
        found[f"E_w[best@{k}]"] = lambda result, k=k: result.expected[:, k - 1]  # type: ignore[misc]
    for k in sorted({1, answers}):
        found[f"pass@{k}"] = lambda result, k=k: result.passed[:, k - 1]  # type: ignore[misc]
    found["hypervolume"] = lambda result: result.hypervolume
    found["pool L1"] = lambda result: result.pool_l1
    found["distinct"] = lambda result: result.distinct
    return found


def _cell(by_seed: Sequence[Array]) -> Cell:
    means = [float(np.nanmean(values)) for values in by_seed if not np.isnan(values).all()]
    if not means:
        return Cell(None)
    estimate = mean_and_error(means)
    return Cell(estimate.mean, estimate.se)


def _costs(runs: Sequence[Run]) -> dict[str, Cell]:
    tokens = mean_and_error([_generated(run) for run in runs])
    seconds = mean_and_error([run.seconds for run in runs])
    trained = runs[0].recipe["evaluate"] != "only"
    return {
        "generated tokens": Cell(tokens.mean if trained else None),
        "seconds": Cell(seconds.mean if trained else None, seconds.se if trained else None),
    }


def _generated(run: Run) -> float:
    return float(json.loads((run.folder / "done.json").read_text())["generated_tokens"])


def _charts(results: Mapping[str, Sequence[PolicyResult]]) -> dict[tuple[str, str, str], dict[str, Curve]]:
    def curves(of: Callable[[PolicyResult], Array], by_tokens: bool) -> dict[str, Curve]:
        drawn = {}
        for arm, found in results.items():
            values = np.mean([of(result) for result in found], axis=0)  # (P, N)
            cost = float(np.mean([result.tokens_per_answer for result in found])) if by_tokens else 1.0
            band = bootstrap_band(values)
            x = [cost * k for k in range(1, values.shape[1] + 1)]
            drawn[arm] = Curve(x, list(band.mean), list(band.lo), list(band.hi))
        return drawn

    answers, tokens, unit = "number of answers k", "completion tokens", "utility of the best"
    charts = {}
    for title, of in (("Fixed taste w*: best@k", _best), ("Random tastes: E_w[best@k]", _expected)):
        charts[title, answers, unit] = curves(of, False)
        charts[f"{title}, by tokens", tokens, unit] = curves(of, True)
    if any(result.passed.any() for found in results.values() for result in found):
        charts["All components solved: pass@k", answers, "share of prompts"] = curves(_passed, False)
    return charts


def _best(result: PolicyResult) -> Array:
    return result.best


def _expected(result: PolicyResult) -> Array:
    return result.expected


def _passed(result: PolicyResult) -> Array:
    return result.passed


def _differences(
    results: Mapping[str, Sequence[PolicyResult]], measures: Mapping[str, Callable[[PolicyResult], Array]]
) -> list[Difference]:
    """Every arm against the first one that was trained, and that one against the base."""
    trained = [arm for arm in results if not arm.startswith(BASE)]
    if not trained:
        return []
    reference, found = trained[0], []
    for arm in trained:
        against = BASE if arm == reference else reference
        if against not in results:
            continue
        mine, theirs = results[arm], results[against]
        if len(theirs) < len(mine):  # the base was not trained: the same for every seed
            theirs = [theirs[0]] * len(mine) if against == BASE else theirs
        count = min(len(mine), len(theirs))
        for name, of in measures.items():
            a, b = ([of(result) for result in each[:count]] for each in (mine, theirs))
            whole = ~np.isnan(a).any(axis=0) & ~np.isnan(b).any(axis=0)
            if whole.any():
                each = paired([values[whole] for values in a], [values[whole] for values in b])
                found.append(Difference(arm, against, name, each.mean, each.lo, each.hi))
    return found


def _notes(results: Mapping[str, Sequence[PolicyResult]], of_arm: Mapping[str, Sequence[Run]], plan: Plan) -> list[str]:
    notes = [
        "best@k counts answers as they are written: whole completions in random order, of which the first k answers "
        "are kept.",
        "The base is the policy that all runs start from; no claim should be made that does not hold against it.",
    ]
    few = [arm for arm, found in results.items() if np.mean([result.answers for result in found]) < 0.9]
    if few:
        notes.append(f"Of {', '.join(few)} more than a tenth of the answers could not be read; they count as 0.")
    short = [
        f"{run.arm} (seed {run.seed})"
        for runs in of_arm.values()
        for run in runs
        if run.recipe["evaluate"] != "only" and _generated(run) < plan.budget
    ]
    if short:
        notes.append(f"Ended before the token budget was spent, by max_steps of the recipe: {', '.join(short)}.")
    if plan.seeds < 3:
        notes.append("Fewer than three seeds: the spread between runs is hardly known.")
    return notes
