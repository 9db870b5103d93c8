"""Several policies on the same prompts: curves of the best of k, what they cost, and paired differences.

Shape letters: S seeds, P prompts, C completions a prompt, M answers a completion, N = C * M answers, D components.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import Band, Interval, bootstrap_band
from eval.hypervolume import pool_hypervolume
from eval.metrics import distinct_answers, pool_l1
from eval.prompt_curves import prompt_curves
from eval.rollouts import RolloutLogError, read_rollouts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PolicyResult:
    """One policy, as one seed trained it, on P prompts.

    Attributes:
        best: (P, N) best@k under w*, for k = 1..N.
        expected: (P, N) E_w[best@k].
        passed: (P, N) pass@k: an answer reaches the utility of a vector of ones.
        hypervolume: (P,) volume that a prompt's answers dominate, from the origin.
        pool_l1: (P,) mean L1 distance of two reward vectors of a prompt; NaN with fewer than two answers.
        distinct: (P,) different answers.
        tokens_per_answer: Completion tokens divided by the answers that a completion is asked for.
        answers: Answers that could be read, as a share of those that were asked for.
    """

    best: Array
    expected: Array
    passed: Array
    hypervolume: Array
    pool_l1: Array
    distinct: Array
    tokens_per_answer: float
    answers: float


def read_policy(folder: Path, num_answers: int, w_star: Sequence[float] | None, num_components: int) -> PolicyResult:
    """Measure the answers to test prompts that a run left.

    Args:
        folder: Its ``rollouts-eval``, one evaluation of prompts that carry a ``prompt_number`` column.
        num_answers: M.
        w_star: (D,) weights of deployment; equal ones if None.
        num_components: D; also for a policy of whose answers none could be read.

    Returns:
        The figures, prompts in the order of their numbers.

    Raises:
        RolloutLogError: Rows carry no number, or prompts have different numbers of completions.
        ValueError: ``w_star`` does not fit.
    """
    rows_by_prompt: dict[int, list[dict[str, object]]] = {}
    for _, rows in read_rollouts(folder):
        for row in rows:
            number = json.loads(row["metadata"]).get("prompt_number")
            if number is None:
                raise RolloutLogError(
                    f"{folder} holds answers to prompts without a number: expected the column 'prompt_number'. Make "
                    "them with `evaluate: at_end` or `only` in a recipe."
                )
            rows_by_prompt.setdefault(int(number), []).append(row)
    counts = {len(rows) for rows in rows_by_prompt.values()}
    if len(counts) != 1:
        raise RolloutLogError(
            f"{folder} holds {sorted(counts)} completions of different prompts: expected as many of each. Delete the "
            "folder and evaluate again."
        )
    weights = np.full(num_components, 1 / num_components) if w_star is None else np.asarray(w_star, dtype=float)
    if len(weights) != num_components:
        raise ValueError(f"w* has {len(weights)} weights for {num_components} components: give one for each.")
    return _measure([rows_by_prompt[number] for number in sorted(rows_by_prompt)], num_answers, weights)


def _measure(prompts: Sequence[Sequence[Mapping[str, object]]], num_answers: int, w_star: Array) -> PolicyResult:
    dim, completions = len(w_star), len(prompts[0])
    vectors = np.zeros((len(prompts), completions, num_answers, dim))
    has = np.zeros((len(prompts), dim), dtype=bool)
    exists = np.zeros(vectors.shape[:3], dtype=bool)
    for p, rows in enumerate(prompts):
        for c, row in enumerate(rows):
            given: list[list[float | None]] = row["rewards"]  # type: ignore[assignment]
            for m, vector in enumerate(given):
                vectors[p, c, m] = [0.0 if value is None else value for value in vector]
                has[p] |= [value is not None for value in vector]
                exists[p, c, m] = True
    has |= ~has.any(axis=1, keepdims=True)  # nothing could be read: no component is known not to apply
    curves = prompt_curves(vectors, exists, has, w_star)
    pools = vectors.reshape(len(prompts), -1, dim)
    volume = [float(pool_hypervolume(pool[:, own])) for pool, own in zip(pools, has, strict=True)]
    distances = [pool_l1(vectors[p][exists[p]]) if exists[p].sum() > 1 else math.nan for p in range(len(prompts))]
    tokens = [float(row["completion_tokens"]) for rows in prompts for row in rows]  # type: ignore[arg-type]
    return PolicyResult(
        best=curves.best,
        expected=curves.expected,
        passed=curves.passed,
        hypervolume=np.array(volume),
        pool_l1=np.array(distances, dtype=float),
        distinct=np.array([_distinct(rows) for rows in prompts], dtype=float),
        tokens_per_answer=float(np.mean(tokens)) / num_answers,
        answers=float(exists.mean()),
    )


def _distinct(rows: Sequence[Mapping[str, object]]) -> int:
    return distinct_answers(answer for row in rows for answer in row["answers"])  # type: ignore[attr-defined]


def paired(a: Sequence[Array], b: Sequence[Array], num: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean of ``a - b`` over seeds and prompts, with an interval that resamples both.

    A prompt is as hard for one policy as for the other and a seed's run is one draw of many: prompts are drawn with
    replacement for all seeds alike, and seeds with replacement for all prompts alike. With one seed, prompts only.

    Args:
        a: S values (P,) of one policy, such as its best@k.
        b: S values (P,) of the other, on the same prompts.
        num: Resamples.
        level: Coverage of the interval.
        seed: Seed of the resamples.

    Returns:
        The difference and its interval.

    Raises:
        ValueError: The shapes differ.
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"a is {first.shape} and b {second.shape}: expected the same (S, P) of both.")
    band = crossed_band((first - second)[..., None], num, level, seed)
    return Interval(float(band.mean[0]), float(band.lo[0]), float(band.hi[0]), float(band.se[0]))


def crossed_band(values: Array, num: int = 2000, level: float = 0.95, seed: int = 0) -> Band:
    """Curve of means over seeds and prompts, with a pointwise band that resamples both.

    Every prompt was seen under every seed, so the two are crossed: prompts are drawn with replacement for all seeds
    alike, and seeds with replacement for all prompts alike (Owen 2007, "The pigeonhole bootstrap"). That holds whatever
    a seed stands for, a training run or a search; of searches alone it is a little wider than need be. With one seed
    prompts only, with one prompt seeds only.

    Args:
        values: (S, P, T).
        num: Resamples.
        level: Coverage at each of the T positions by itself.
        seed: Seed of the resamples.

    Returns:
        Means and intervals, (T,).

    Raises:
        ValueError: Not three dimensions, or one of them is empty.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"values is {array.shape}: expected (S, P, T), none of them empty.")
    seeds, prompts = array.shape[:2]
    if seeds == 1 or prompts == 1:
        return bootstrap_band(array.mean(axis=0) if seeds == 1 else array[:, 0], num, level, seed)
    rng = np.random.default_rng(seed)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=num) / seeds  # (num, S)
    of_prompts = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=num) / prompts  # (num, P)
    means = np.sum([of_seeds[:, [s]] * (of_prompts @ array[s]) for s in range(seeds)], axis=0)  # (num, T)
    lo, hi = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Band(array.mean(axis=(0, 1)), lo, hi, means.std(axis=0, ddof=1))
