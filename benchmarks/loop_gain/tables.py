"""The tables of the study, in the Markdown that docs/gain-profile.md holds, and its targets.

A cell is the mean over seeds and, in brackets, its standard error. Points are hundredths of accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from loop_gain.models import ARMS, CAP, FROZEN, LONGER, LOOPS, NARROW, ONE, PLT, RANDOM, SHIFT
from loop_gain.reading import DEEPEST
from loop_gain.tasks import STRATA
from targets import Target

from eval.bootstrap import mean_and_error

Results = list[dict[str, Any]]
READ = (1, 2, 3, 4, 6, 8)
FOUR, TWO = "4 loops", "2 loops"
FOLLOWED = (TWO, FOUR, RANDOM, "PLT, 2 loops", "PLT, 4 loops", SHIFT, FROZEN)
UNTRAINED = "untrained"
NEUTRAL, CLOSE, MOST = 0.5, 1.0, 0.8  # points, points, share


def over(results: Results, figure: Callable[[dict[str, Any]], float]) -> list[float]:
    """A figure of each seed's arms."""
    return [figure(result["arms"]) for result in results]


def accuracy(arms: dict[str, Any], name: str, loop: int | None = None, stratum: str | None = None) -> float:
    """In points, at the trained depth unless another is asked for."""
    found = arms[name] if stratum is None else arms[name]["strata"][stratum]
    return 100 * found["accuracy"][(loop or arms[name]["trained loops"]) - 1]


def gain(arms: dict[str, Any], family: list[str], loop: int, stratum: str | None = None) -> float:
    """Points that ``loop`` buys beyond the loop before: between two models, or within one if the family is one."""
    if len(family) == 1:
        return accuracy(arms, family[0], loop, stratum) - accuracy(arms, family[0], loop - 1, stratum)
    return accuracy(arms, family[loop - 1], None, stratum) - accuracy(arms, family[loop - 2], None, stratum)


def cell(values: Iterable[float | None], digits: int = 1, signed: bool = False) -> str:
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return "-"
    estimate = mean_and_error(known)
    mean = f"{estimate.mean:{'+' if signed else ''}.{digits}f}"
    return mean if math.isnan(estimate.se) else f"{mean} ({estimate.se:.{digits}f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def by_arm(results: Results) -> str:
    """Every model at the depth that it was trained at."""
    strata, rows = list(results[0]["arms"][ONE]["strata"]), []
    for name in (*ARMS, UNTRAINED):
        arm = results[0]["arms"][name]
        cells = [cell(over(results, lambda a, n=name, s=s: accuracy(a, n, None, s))) for s in (None, *strata)]
        compute = "-" if name == UNTRAINED else f"{arm['compute']:.2f}"
        rows.append([name, f"{arm['weights'] / 1000:.0f}", compute, *cells])
    return _table(["model", "thousand weights", "compute", "right", *strata], rows)


def by_loop(results: Results) -> str:
    """Every looped model read after other numbers of loops than it was trained at."""
    rows = []
    for name, arm in ARMS.items():
        if name not in (LONGER, NARROW):
            marks = [
                cell(over(results, lambda a, n=name, loop=loop: accuracy(a, n, loop)))
                + ("*" if loop == arm.loops else "")
                for loop in READ
            ]
            rows.append([name, *marks])
    return _table(["model", *(f"after {loop}" for loop in READ)], rows)


def gains(results: Results) -> str:
    """What each loop adds, over all tokens and by difficulty."""
    strata = list(results[0]["arms"][ONE]["strata"])
    families = {"trained apart": list(LOOPS), RANDOM: [RANDOM], "PLT, trained apart": [ONE, *PLT]}
    rows = []
    for label, family in families.items():
        for loop in range(2, CAP + 1):
            cells = [
                cell(over(results, lambda a, f=family, t=loop, s=s: gain(a, f, t, s)), signed=True)
                for s in (None, *strata)
            ]
            rows.append([label, f"{loop - 1} to {loop}", *cells])
        if len(family) == 1:
            cells = [
                cell(
                    over(
                        results,
                        lambda a, n=family[0], s=s: accuracy(a, n, DEEPEST, s) - accuracy(a, n, CAP, s),
                    ),
                    signed=True,
                )
                for s in (None, *strata)
            ]
            rows.append([label, f"{CAP} to {DEEPEST}", *cells])
    return _table(["models", "loops", "all", *strata], rows)


def turns(results: Results) -> str:
    """Share of tokens that a loop makes right and makes wrong."""
    rows = []
    for name in FOLLOWED:
        cells = []
        for loop in range(2, DEEPEST + 1):
            pair = [
                cell(over(results, lambda a, n=name, t=loop, w=which: 100 * a[n][w][t - 1]))
                for which in ("repaired", "broken")
            ]
            cells.append(" / ".join(pair))
        rows.append([name, *cells])
    return _table(["model", *(f"loop {loop}" for loop in range(2, DEEPEST + 1))], rows)


def motion(results: Results) -> str:
    """How the state moves."""
    rows = []
    for name in FOLLOWED:
        for label, key, digits in (
            ("cosine of updates", "cosine", 2),
            ("share turning back", "oscillating", 2),
            ("step / state", "residual", 2),
            ("KL to the loop before", "kl", 3),
        ):
            cells = [cell(over(results, lambda a, n=name, k=key, t=t: a[n][k][t - 1]), digits) for t in READ[1:]]
            rows.append([name, label, *cells])
    return _table(["model", "", *(f"loop {loop}" for loop in READ[1:])], rows)


CAPTIONS = {
    by_arm: "each model after as many loops as it was trained at; tokens right of 100, and by difficulty",
    by_loop: "read after other numbers of loops (* the trained one); tokens right of 100",
    gains: "what a loop adds, in points, over all tokens and by difficulty",
    turns: "of 100 tokens, those that a loop makes right / wrong",
    motion: "how the state moves",
}


def markdown(facts: dict[str, Any]) -> str:
    """All tables of kept results."""
    parts = []
    for task in STRATA:
        of_task = [result for result in facts["results"] if result["task"] == task]
        if of_task:
            seeds = ", ".join(str(result["seed"]) for result in of_task)
            for make, caption in CAPTIONS.items():
                parts.append(f"**{task}**, {caption} (seeds {seeds}):\n\n{make(of_task)}")
    return "\n\n".join(parts)


def show(by_task: dict[str, Results]) -> None:
    print("\n" + markdown({"results": [result for results in by_task.values() for result in results]}))


def targets_of(by_task: dict[str, Results]) -> list[Target]:
    """What was asked before the full run, after short trials of plain models."""
    return [target for task, results in by_task.items() for target in _targets(task, results)]


def _targets(task: str, results: Results) -> list[Target]:
    def mean(figure: Callable[[dict[str, Any]], float]) -> float:
        values = over(results, figure)
        return round(sum(values) / len(values), 6)

    def lost_beyond(name: str) -> float:
        return mean(lambda a: accuracy(a, name, CAP) - accuracy(a, name, DEEPEST))

    def share_of_two(figure: Callable[[dict[str, Any], int], float]) -> float:
        """Of what four loops gain, what two do; of the means, since a seed's gain may be next to nothing."""
        whole = mean(lambda a: figure(a, CAP) - figure(a, 1))
        return mean(lambda a: figure(a, 2) - figure(a, 1)) / whole if whole > 0 else float("nan")

    behind = [mean(lambda a, n=n, t=t: accuracy(a, n) - accuracy(a, RANDOM, t)) for t, n in enumerate(LOOPS, start=1)]
    apart = list(LOOPS)
    return [
        Target(
            f"{task}: points that random depth loses from {CAP} to {DEEPEST} loops", lost_beyond(RANDOM), NEUTRAL, False
        ),
        Target(
            f"{task}: points that {FOUR} alone lose from {CAP} to {DEEPEST}, beyond what random depth loses",
            lost_beyond(FOUR) - lost_beyond(RANDOM),
            0.0,
        ),
        *(
            Target(f"{task}: points that random depth at {t} is behind the model of {t} alone", each, CLOSE, False)
            for t, each in enumerate(behind, start=1)
        ),
        Target(
            f"{task}: share of four loops' gain that two bring, trained apart",
            share_of_two(lambda a, t: accuracy(a, apart[t - 1])),
            MOST,
        ),
        Target(
            f"{task}: share of four loops' gain that two bring, random depth",
            share_of_two(lambda a, t: accuracy(a, RANDOM, t)),
            MOST,
        ),
        Target(
            f"{task}: points of PLT's loops 3 and 4 beyond its loop 2",
            mean(lambda a: accuracy(a, "PLT, 4 loops") - accuracy(a, "PLT, 2 loops")),
            0.0,
        ),
        Target(
            f"{task}: points that PLT of two loops is behind two plain loops",
            mean(lambda a: accuracy(a, TWO) - accuracy(a, "PLT, 2 loops")),
            CLOSE,
            False,
        ),
        *(
            Target(
                f"{task}: points of {FOUR} beyond {name}",
                mean(lambda a, n=name: accuracy(a, FOUR) - accuracy(a, n)),
                0.0,
            )
            for name in (LONGER, NARROW)
        ),
    ]
