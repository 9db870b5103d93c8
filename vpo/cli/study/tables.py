"""From pools to numbers: the metrics of each policy and the controls that every table must carry."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.metrics import best_at_k_curve, expected_best_at_k_curve, pool_l1, simplex_weightings
from vpo.cli.study.sampling import pool_file
from vpo.cli.study.settings import Settings
from vpo.tasks.controls import best_blind_set, reward_table

Array = NDArray[np.float64]
NUM_WEIGHTINGS = 200
KS = (1, 3, 6, 30)


@dataclass(frozen=True)
class PolicyCurves:
    """Curves by example over k = 1..N, each (P, N), the pool's diversity, and the share of answers that earn at all."""

    best: Array
    expected: Array
    pool_l1: float
    distinct: float
    valid: float

    def at(self, k: int) -> tuple[float, float]:
        """(best@k, E_w[best@k]), means over examples; ``k`` above N gives the value at N."""
        column = min(k, self.best.shape[1]) - 1
        return float(self.best[:, column].mean()), float(self.expected[:, column].mean())


def pool_curves(run: Path, settings: Settings, policy: str, num_answers: int, shuffled: bool = False) -> PolicyCurves:
    """Curves of a pool that the sampling stage left."""
    with np.load(pool_file(run, policy, num_answers, shuffled)) as pool:
        rewards, answers = pool["rewards"], pool["answers"]  # (P, C, M, D), (P, C, M)
    w_star = np.array(settings.task.w_star)
    weightings = simplex_weightings(NUM_WEIGHTINGS, len(w_star))
    # A missing answer is worth nothing to best@k, but it is no further kind of answer: left out of the diversity.
    vectors = rewards.reshape(len(rewards), -1, len(w_star))
    texts = answers.reshape(len(answers), -1)
    distances = [
        float(pool_l1(part[given])) for part, given in zip(vectors, texts != "", strict=True) if given.sum() > 1
    ]
    return PolicyCurves(
        best=best_at_k_curve(rewards @ w_star),
        expected=expected_best_at_k_curve(rewards, weightings),
        pool_l1=float(np.mean(distances)) if distances else 0.0,
        distinct=float(np.mean([len(set(row[row != ""])) for row in texts])),
        valid=float((rewards > 0).any(axis=-1).mean()),
    )


def blind_curves(settings: Settings) -> PolicyCurves:
    """The best fixed answers, chosen on training examples and given to the held-out ones without looking."""
    task = settings.task
    train = list(islice(task.examples("train"), 300))
    test = list(islice(task.examples("test"), settings.eval_examples))
    rng = random.Random("vpo-blind")
    answers = list(dict.fromkeys(task.teacher_completion(example, 1, rng) for example in train for _ in range(4)))
    table = reward_table(task, answers, train)
    num = settings.pool_answers
    w_star = np.array([task.w_star])
    weightings = simplex_weightings(NUM_WEIGHTINGS, len(task.w_star))
    # Chosen for each taste in its own right: the strongest control for either column.
    fixed = [answers[i] for i in best_blind_set(table, w_star, num)]
    varied = [answers[i] for i in best_blind_set(table, weightings[:50], num)]
    fixed_table, varied_table = (reward_table(task, chosen, test) for chosen in (fixed, varied))
    utility = np.einsum("prd,kd->krp", varied_table, weightings)
    upper = np.triu_indices(len(fixed), 1)
    distances = np.abs(varied_table[:, :, None] - varied_table[:, None]).sum(-1)[:, upper[0], upper[1]]
    return PolicyCurves(
        best=np.maximum.accumulate(fixed_table @ w_star[0], axis=1),
        expected=np.maximum.accumulate(utility, axis=1).mean(axis=0).T,
        pool_l1=float(distances.mean()),
        distinct=float(len(set(varied))),
        valid=float((varied_table > 0).any(axis=-1).mean()),
    )


def oracle_values(settings: Settings) -> tuple[Array, Array]:
    """(P,) best utility any answer reaches under w*, and (P,) the same in the mean over random tastes."""
    task = settings.task
    weightings = simplex_weightings(NUM_WEIGHTINGS, len(task.w_star))
    fronts = [np.array(task.front(example)) for example in islice(task.examples("test"), settings.eval_examples)]
    best = np.array([(front @ np.array(task.w_star)).max() for front in fronts])
    return best, np.array([(front @ weightings.T).max(axis=0).mean() for front in fronts])


def stage_facts(run: Path, folder: str) -> dict[str, float]:
    """What a training stage noted when it ended."""
    facts = json.loads((run / folder / "done.json").read_text())
    return {name: value for name, value in facts.items() if isinstance(value, (int, float))}
