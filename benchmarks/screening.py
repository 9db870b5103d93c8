"""How many real evaluations does a screen save at an equal best, and what does a wrong one cost?

Four problems with slow evaluators (`slow_evaluators`), each by best-of-n and by lexicase evolution; a seed draws an
instance, and all arms search the same ones. The clock is simulated and counts evaluations. An evaluation is one of a
different answer; repetitions come from the cache. Best so far is in standard deviations above the mean of random
answers. Each arm has 400 evaluations, and so has the plain search. The yardstick is the plain search, four times on
each instance and for up to 1,200 evaluations: an average best at 300, 325, ..., 400 is worth as many evaluations as the
yardstick needs for it, on average over these five. Saved is 1 - what the plain search's is worth / what the arm's is:
the plain search has the arm's instances and seeds, so luck cancels. The figure for all takes averages over all cells
and seeds; its standard error is a bootstrap over seeds, in pairs. A cell by itself says little. "Sent" counts the
completions that were sampled by the 400th evaluation: a screen pays for evaluations with tokens.

Arms: *screen*, as it is by default, off until it has proven its skill; *trusted*, on from the start; and controls: a
predictor that guesses, never switched off (screening at random); one that foresees the reverse of the truth, and the
default one that learns an answer's reward from another answer of the past, both trusted, so that they are on until they
are found out; the shuffled one off until it has proven a skill. Of independent draws it has none. Under evolution it
has a little: what it is told rises with time, so it tells evolved answers from fresh draws, and is rightly found to.

At last, simulated evidence: a predictor just as good as the rules demand, how often is it switched off in 1,000
answers; one that guesses, how often is it switched on in 600? About 20 minutes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from slow_evaluators import PROBLEMS, Words
from targets import Target, finish, parser

from search.budget import Budget
from search.driver import run_search
from search.outcomes import Judged
from search.procedures import BestOfN, LexicaseEvolution
from search.records import Evaluation, Sampling, SearchResult
from search.samplers import ScriptedSampler
from search.screening import Screening, TextPredictor, Trial
from search.screening.decisions import Decision
from search.seeds import stable_hash

PROCEDURES: dict[str, Callable[[Any], Any]] = {
    "best of n": lambda problem: BestOfN(),
    "lexicase": lambda problem: LexicaseEvolution(problem.vary),
}
BEYOND, REPEATS = 3, 4  # of the plain search
KEYS = ("best", "completions", "switched_on", "switched_off")
LEVELS = (0.75, 0.8125, 0.875, 0.9375, 1.0)


class Guess:
    """Foresees anything, or the reverse of the truth."""

    def __init__(self, problem: Any, sign: float) -> None:
        self.sign = sign

    def update(self, problem: Any, candidates: Sequence[str], rewards: np.ndarray) -> None:
        pass

    def predict(self, problem: Any, candidates: Sequence[str]) -> tuple[np.ndarray, None]:
        real = np.array([problem.score(each) for each in candidates])
        noise = [random.Random(stable_hash(each)).random() for each in candidates]
        return self.sign * real + np.array(noise)[:, None] * (1e-6 if self.sign else 1.0), None


class Shuffled(TextPredictor):
    """Learns rewards that belong to other answers of the past."""

    def __init__(self, problem: Any) -> None:
        super().__init__(problem)
        self._pool: list[np.ndarray] = []
        self._rng = random.Random(problem.id)

    def update(self, problem: Any, candidates: Sequence[str], rewards: np.ndarray) -> None:
        self._pool += list(rewards)
        super().update(problem, candidates, np.array([self._rng.choice(self._pool) for _ in candidates]))


def random_guess(problem: Any) -> Guess:
    return Guess(problem, 0.0)


def reverse(problem: Any) -> Guess:
    return Guess(problem, -1.0)


ARMS: dict[str, Screening | None] = {
    "plain": None,
    "screen": Screening(),
    "trusted": Screening(trusted=True),
    "at random": Screening(trusted=True, predictor=random_guess, tolerance=0.99, least_skill=0.01),
    "reverse": Screening(trusted=True, predictor=reverse),
    "shuffled": Screening(trusted=True, predictor=Shuffled),
    "shuffled, not trusted": Screening(predictor=Shuffled),
}


def search(problem: Words, procedure: str, screen: Screening | None, seed: int, most: int) -> dict[str, Any]:
    """One search until ``most`` evaluations are made; what it had found after each."""
    evaluated: list[str] = []

    class Counting(type(problem)):  # type: ignore[misc] - one clock for each search
        def __init__(self) -> None:
            self.__dict__.update(problem.__dict__)

        def evaluate(self, answers: Sequence[str]) -> list[tuple[float, ...]]:
            evaluated.extend(answers)
            return super().evaluate(answers)

    told: list[str] = []

    def note(progress: Any) -> None:
        if progress.switched and progress.switched not in told:
            told.append(progress.switched)

    options: dict[str, Any] = {"batch": 8, "seed": seed, "sampling": Sampling(max_new_tokens=64)}
    (result,) = run_search(
        [Counting()],
        PROCEDURES[procedure],
        ScriptedSampler(problem.write),
        Budget(max_seconds=most, max_answers=20 * most),  # a search that repeats itself must end, too
        screen=screen,
        progress=note,
        clock=lambda: float(len(evaluated)),
        **options,
    )
    best, completions = curve(result, most)
    offs = sum("switched off" in each for each in told)
    return {
        "best": best,
        "completions": completions,
        "on": len(told) - offs,
        "off": offs,
        "dropped": result.dropped[-1],
    }


def curve(result: SearchResult, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(most,) best scalar and completions sampled, after each evaluation of a different answer."""
    best, completions = np.full(most, np.nan), np.full(most, np.nan)
    num, top = 0, -np.inf
    for candidate in result.candidates:
        if not candidate.duplicate and num < most:
            top = max(top, candidate.scalar)
            best[num], completions[num] = top, candidate.generation_id + 1
            num += 1
    best[num:], completions[num:] = top, completions[max(num - 1, 0)]
    return best, completions


def saved(arm: np.ndarray, plain: np.ndarray, yardstick: np.ndarray, at: int) -> float:
    """Share of the evaluations that an arm saves at equal mean bests.

    Args:
        arm: (S, E) best after each evaluation.
        plain: (S, E) the same of the plain search, in pairs.
        yardstick: (S, B E) mean over repeats of the plain search.
        at: Evaluations of the arm.
    """
    mean = yardstick.mean(axis=0)
    places = [round(share * at) - 1 for share in LEVELS]
    worth = [np.searchsorted(mean, each.mean(axis=0)[places] - 1e-12) + 1 for each in (arm, plain)]
    return float(1 - np.mean(worth[1]) / np.minimum(worth[0], len(mean)).mean())


def judged(name: str, value: float) -> Judged:
    return Judged(name, name, Evaluation(vector=(value,)), value)


def decided(trial: Trial, name: str, merit: float, keep: bool, audit: bool) -> Decision:
    verdict = "keep" if keep else ("audit" if audit else "drop")
    state: dict[str, Any] = {"verdict": verdict, "on": trial.on, "period": trial.period}
    return Decision(answer=name, key=name, mean=(merit,), spread=None, merit=merit, bar=0.0, **state)


def switched_off(rules: Screening, seed: int, answers: int) -> bool:
    """Whether a predictor at the edge of both hypotheses is switched off."""
    rng, trial, best = random.Random(seed), Trial(rules, seed), 10.0
    trial.take((), [judged("first", best), judged("second", 0.0)])
    # Of a pair without a miss, the kept one is better with probability power / (power + 1)
    skill = rules.least_skill / (1 - rules.tolerance)
    for i in range(answers):
        keep, audit = rng.random() < rules.share, rng.random() < rules.audit
        value = rng.random() ** ((1 - skill) / skill if keep else 1.0)
        if not keep and rng.random() < rules.tolerance:
            best = value = best + 1e-3
        decision = decided(trial, f"{i}", 0.0, keep, audit)
        trial.take((decision,), (judged(f"{i}", value),) if decision.evaluated else ())
        if not trial.on:
            return True
    return False


def switched_on(rules: Screening, seed: int, answers: int) -> bool:
    """Whether a predictor that guesses is switched on."""
    rng, trial = random.Random(seed), Trial(rules, seed)
    trial.take((), [judged("first", 3.0), judged("second", 0.0)])
    for i in range(answers):
        merit = rng.gauss(0, 1)
        decision = decided(trial, f"{i}", merit, merit > 0.7, False)
        trial.take((decision,), (judged(f"{i}", rng.gauss(0, 1)),))
        if trial.on:
            return True
    return False


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    at, seeds, runs = (60, 2, 10) if options.quick else (400, 4, 300)
    problems = list(PROBLEMS)[:2] if options.quick else list(PROBLEMS)
    cells: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, np.ndarray]] = {}
    print(f"{'':24}" + "".join(f"{arm:>23}" for arm in ARMS), flush=True)
    for name in problems:
        for procedure in PROCEDURES:
            found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
            repeats: list[np.ndarray] = []
            for seed in range(seeds):
                problem = PROBLEMS[name](seed)
                random_answers = [problem.scalar(problem.score(problem.write("", "", -i))) for i in range(1, 201)]
                middle, deviation = np.mean(random_answers), np.std(random_answers)
                for arm, screen in ARMS.items():
                    one = search(problem, procedure, screen, seed, at)
                    found[arm].append(one | {"best": (one["best"] - middle) / deviation})
                again = [search(problem, procedure, None, 100 * i + seed, BEYOND * at)["best"] for i in range(REPEATS)]
                repeats.append((np.mean(again, axis=0) - middle) / deviation)
            cell = f"{name}, {procedure}"
            curves[cell] = {arm: np.array([each["best"] for each in ones]) for arm, ones in found.items()}
            curves[cell]["repeats"] = np.array(repeats)
            cells[cell] = {
                arm: {
                    "saved": saved(*(curves[cell][each] for each in (arm, "plain", "repeats")), at),
                    "best": float(curves[cell][arm][:, at - 1].mean()),
                    "completions": float(np.mean([each["completions"][at - 1] for each in ones])),
                    "switched_on": float(np.mean([each["on"] > 0 for each in ones])),
                    "switched_off": float(np.mean([each["off"] > 0 for each in ones])),
                }
                for arm, ones in found.items()
            }
            shown = [(one["saved"], one["completions"]) for one in cells[cell].values()]
            print(f"{cell:24}" + "".join(f"{s:11.1%} of {c:5.0f} sent" for s, c in shown), flush=True)
    summary = summarise(cells, curves, at)
    print(f"\n{'mean of all':24}" + "".join(f"{s['saved']:14.1%} +- {s['se']:5.1%}" for s in summary.values()))
    rules = Screening(trusted=True)
    false_off = float(np.mean([switched_off(rules, seed, 1000) for seed in range(runs)]))
    false_on = float(np.mean([switched_on(Screening(), seed, 600) for seed in range(runs)]))
    print(f"false alarms of {runs} simulated runs: switched off {false_off:.3f}, switched on {false_on:.3f}")
    targets = [
        Target("screen: evaluations saved at equal best", summary["screen"]["saved"], 0.4),
        Target("screening at random: evaluations saved, at most", summary["at random"]["saved"], 0.15, at_least=False),
        Target("reverse predictor: evaluations lost", -summary["reverse"]["saved"], 0.1, at_least=False),
        Target("reverse predictor: searches in which it was switched off", summary["reverse"]["switched_off"], 0.95),
        Target("shuffled labels: evaluations lost", -summary["shuffled"]["saved"], 0.1, at_least=False),
        Target(
            "shuffled labels, not trusted: searches in which it was switched on",
            summary["shuffled, not trusted"]["switched_on"],
            rules.error,
            at_least=False,
        ),
        Target("just good enough: switched off", false_off, rules.error, at_least=False),
        Target("guessing: switched on", false_on, rules.error, at_least=False),
    ]
    facts = {"evaluations": at, "seeds": seeds, "cells": cells, "summary": summary, "simulated_runs": runs}
    return finish("screening", options.quick, facts, targets)


def summarise(cells: Any, curves: dict[str, dict[str, np.ndarray]], at: int) -> dict[str, dict[str, float]]:
    """All cells as one; standard errors by a bootstrap over seeds within each cell, arms in pairs."""
    rng = np.random.default_rng(0)
    every = {arm: np.stack([cell[arm] for cell in curves.values()]) for arm in (*ARMS, "repeats")}  # (cells, seeds, E)
    num_cells, seeds, _ = every["plain"].shape
    draws = rng.integers(0, seeds, (200, num_cells, seeds))
    rows = np.arange(num_cells)[:, None]

    def one(arm: str, picks: np.ndarray) -> float:
        chosen = [every[each][rows, picks] for each in (arm, "plain", "repeats")]
        return saved(*(each.reshape(-1, each.shape[-1]) for each in chosen), at)

    summary: dict[str, dict[str, float]] = {}
    for arm in ARMS:
        figures = {key: float(np.mean([cell[arm][key] for cell in cells.values()])) for key in KEYS}
        again = [one(arm, picks) for picks in draws]
        figures["saved"] = one(arm, np.tile(np.arange(seeds), (num_cells, 1)))
        summary[arm] = {**figures, "se": float(np.std(again))}
    return summary


if __name__ == "__main__":
    raise SystemExit(main())
