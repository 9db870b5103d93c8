"""The best of k for prompts that need not have the same components; see `eval.prompt_weights` for what w* is then.

Shape letters: P prompts, C completions a prompt, M answers a completion, D components, K tastes, T values of k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics import best_at_k_curve, expected_best_at_k_curve, simplex_weightings
from eval.prompt_weights import prompt_weights

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PromptCurves:
    """Curves over k, (P, T) each.

    Attributes:
        best: best@k under w*, which is rescaled to the components that a prompt has.
        expected: E_w[best@k], tastes drawn over the components that a prompt has.
        passed: pass@k: an answer reaches the utility of a vector of ones.
    """

    best: Array
    expected: Array
    passed: Array


def prompt_curves(
    rewards: Array,
    exists: NDArray[np.bool_],
    has: NDArray[np.bool_],
    w_star: Array,
    ks: Sequence[int] | None = None,
    num_tastes: int = 100,
) -> PromptCurves:
    """Curves of each prompt.

    Args:
        rewards: (P, C, M, D) reward vectors, 0 where there is no answer or a component does not apply.
        exists: (P, C, M) answers that exist; a missing one is worth 0.
        has: (P, D) components that each prompt has, one at least.
        w_star: (D,) weights of deployment.
        ks: As for `best_at_k_curve`.
        num_tastes: K.
    """
    weights = prompt_weights(w_star, has)  # (P, D)
    utilities = np.einsum("pcmd,pd->pcm", rewards, weights)
    full, slack = weights.sum(axis=1), 1e-5 * np.abs(weights).sum(axis=1)  # the slack is for rounding only
    solved = exists & (utilities >= (full - slack)[:, None, None])
    best = best_at_k_curve(utilities, ks)
    expected = np.empty_like(best)
    for own in np.unique(has, axis=0):
        rows = (has == own).all(axis=1)
        tastes = simplex_weightings(num_tastes, int(own.sum()))
        expected[rows] = expected_best_at_k_curve(rewards[rows][..., own], tastes, ks)
    return PromptCurves(best, expected, best_at_k_curve(solved.astype(float), ks))
