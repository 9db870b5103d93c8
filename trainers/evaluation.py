"""What an evaluation logs beside TRL's metrics: how good the best of k answers is, by the unbiased estimators.

Shape letters: N completions of all processes, P prompts, C completions a prompt, M answers a completion, D components.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from eval.prompt_curves import prompt_curves


def evaluation_metrics(
    rewards: Tensor, mask: Tensor, group_size: int, w_star: Tensor, applies: Tensor | None = None
) -> dict[str, float]:
    """Metrics of one evaluation batch.

    Args:
        rewards: (N, M, D) reward vectors; not read where there is no answer.
        mask: (N, M) answers that exist; a missing one is worth 0.
        group_size: C.
        w_star: (D,) weights of deployment.
        applies: (P, D) bool, components that each prompt has; None for all of them.

    Returns:
        For k = 1, 2, 4... and C * M, means over prompts of ``best@k`` (utility under w*), ``E_w[best@k]`` (under random
        tastes) and ``pass@k`` (an answer reaches the utility of a vector of ones). k counts answers in the order in
        which completions hold them. Prompts without any component are left out; {} if there is no other.
    """
    shape = (-1, group_size, *rewards.shape[1:])
    exists = mask.cpu().numpy().reshape(shape[:-1])
    vectors = np.where(exists[..., None], rewards.cpu().double().numpy().reshape(shape), 0.0)  # (P, C, M, D)
    has = np.ones((len(vectors), rewards.shape[2]), bool) if applies is None else applies.cpu().numpy()
    judged = has.any(axis=1)
    if not judged.any():
        return {}
    vectors, exists, has = vectors[judged], exists[judged], has[judged]
    most = group_size * rewards.shape[1]
    ks = sorted({*(1 << power for power in range(most.bit_length()) if 1 << power <= most), most})
    found = prompt_curves(vectors, exists, has, w_star.cpu().double().numpy(), ks)
    curves = {"best@{}": found.best, "E_w[best@{}]": found.expected, "pass@{}": found.passed}
    return {
        name.format(k): float(curve[:, index].mean()) for name, curve in curves.items() for index, k in enumerate(ks)
    }
