"""w* of prompts that need not have the same components: rescaled, so that a full score is worth as much on each.

That is how a set reward is paid: the weightings of a prompt are drawn on the simplex of the components that it has
(`trainers.payment`). Search does the same (`search.problem.TaskProblem`). Objectives under a fixed w*, such as GRPO,
add up what is there without rescaling, as TRL does; their advantages compare answers to one prompt, so that the scale
is lost where they are normalized.

Shape letters: P prompts, D components.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def prompt_weights(w_star: Array, has: NDArray[np.bool_]) -> Array:
    """Weights of each prompt.

    Where nothing that w* weighs applies, the components that do count alike, as in training.

    Args:
        w_star: (D,) weights of deployment.
        has: (P, D) components that each prompt has.

    Returns:
        (P, D) weights, 0 for what a prompt has not, with the sum of ``w_star``; w* itself, to the bit, for a prompt
        that has all components. As they are where they sum to 0, which no scale would change.
    """
    weights = np.where(has, w_star, 0.0)
    unweighed = ~weights.any(axis=1)
    weights[unweighed] = has[unweighed]
    sums = weights.sum(axis=1)
    scale: Array = np.divide(np.sum(w_star), sums, out=np.ones_like(sums), where=sums != 0)
    scale[has.all(axis=1)] = 1.0
    return weights * scale[:, None]
