"""What every loop of a model does: how many answers it repairs and breaks, and how the state moves.

``accuracy(t)`` is the share of tokens that are right when read out after loop t. The gain of a loop is
``accuracy(t) - accuracy(t - 1)``, which is the share that it *repairs* (wrong before, right after) less the share that
it *breaks*. Motion is the library's (`vpo.looped.stability.dynamics`); a cosine of successive updates below 0 is a
state that turns back.

Shape letters: L loops, N tokens; B, T, H as elsewhere.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from loop_gain.tasks import STRATA, Work, difficulty
from torch import Tensor

from vpo.looped import FixedDepth, LoopedForCausalLM
from vpo.looped.lockstep import Lockstep
from vpo.looped.stability import dynamics

DEEPEST = 8  # loops that every model is read at, twice the trained cap
MOTION = ("residual", "cosine", "oscillating", "contraction", "period2")


@torch.no_grad()
def states(model: LoopedForCausalLM, work: Work, loops: int) -> list[Tensor]:
    """``z_0`` (the signal) to ``z_loops``, each (B, T, H)."""
    place = torch.arange(work.ids.shape[1])[None]
    loop, _ = model.model.begin(work.ids, work.mask, place, use_cache=False, policy=FixedDepth(loops))
    found = [loop.state]
    loop.run(Lockstep.of(model.model.layers, loop.signal.device), found)
    return found


@torch.no_grad()
def read(model: LoopedForCausalLM, work: Work, task: str, loops: int = DEEPEST) -> dict[str, Any]:
    """The profile of a model on the tokens that a test counts."""
    assert work.counts is not None
    each, counts = states(model, work, loops), work.counts
    logs = [model.lm_head(model.model.norm(state)[counts]).log_softmax(-1) for state in each[1:]]
    right = torch.stack([log.argmax(-1) == work.labels[counts] for log in logs]).numpy()
    moved = [(now.exp() * (now - before)).sum(-1).mean().item() for before, now in pairwise(logs)]
    motion = dynamics(each, counts).per_loop()
    return {
        **bookkeeping(right, difficulty(task, work.ids)[counts[:, 1:]].numpy(), STRATA[task]),
        "kl": [None, *moved],
        **{name: [None if np.isnan(value) else value for value in motion[name]] for name in MOTION},
    }


def bookkeeping(right: np.ndarray, hardness: np.ndarray, strata: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """Accuracy, repairs and breaks of each loop, over all tokens and in each stratum.

    Args:
        right: (L, N) bool.
        hardness: (N,) difficulty.
        strata: First and last difficulty of each.

    Returns:
        ``accuracy``, ``repaired`` and ``broken``, each of L shares (the last two are None for the first loop),
        ``ever``, the share that is right after some loop, ``tokens``, and the same for the strata in ``strata``, by
        name.
    """

    def of(part: np.ndarray) -> dict[str, Any]:
        before, after = part[:-1], part[1:]
        return {
            "tokens": part.shape[1],
            "accuracy": part.mean(1).tolist(),
            "repaired": [None, *(after & ~before).mean(1).tolist()],
            "broken": [None, *(before & ~after).mean(1).tolist()],
            "ever": float(part.any(0).mean()),
        }

    found = of(right)
    found["strata"] = {f"{low}-{high}": of(right[:, (hardness >= low) & (hardness <= high)]) for low, high in strata}
    return found
