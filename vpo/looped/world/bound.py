"""What keeps the state of a world model from growing, however long it is rolled out, and what that does not say.

**The bound.** A loop is ``h' = u + R(u)``, ``u = A h + (1 - A) B e`` with ``A = diag(exp(-softplus(s) exp(r)))``. Since
softplus and exp are positive, the exponent is negative and every entry of A lies in (0, 1), for any real s and r, hence
at every moment of training. The signal e is the output of a norm, ``|e| <= max|w| sqrt(H)``; R is a sum of blocks that
see their input through a norm and so add at most a constant, :meth:`~vpo.looped.world.block.Block.bound`. With
``a = max A`` and ``b`` the sum of both,

    |h'| <= a |h| + b,   hence   |h_t| <= a^t |h_0| + b (1 - a^t) / (1 - a) <= max(|h_0|, b / (1 - a)).

The loops of all environment steps are one such recursion (the state is carried over): it holds at any horizon.

**What it does not cover.** It bounds the size of the state and nothing else. R is not linear and its slope is not
bounded by any of this: the Jacobian of a loop, ``(I + J_R) A``, may stretch (LoopWM, arXiv 2606.18208, constrains A
alone). Two states may move apart, a fixed point need not exist, and the *error* of a rollout may grow until the bound
stops it. :mod:`vpo.looped.stability` measures that: ``spectral_norm(lambda h: model.core.loop(h, signal), state)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vpo.looped.injection import DiagonalInjection
from vpo.looped.world.core import LoopedCore

if TYPE_CHECKING:
    from vpo.looped.world.model import LoopedWorldModel


@dataclass(frozen=True)
class StateBound:
    """Bound on the state's norm over channels, for each cell.

    Args:
        retention: a, the largest share of the state that a loop keeps.
        inflow: b, the most that a loop can add; None if nothing bounds it.
        limit: ``b / (1 - a)``, above which no rollout that starts from 0 can come; infinite if nothing is bounded.
    """

    retention: float
    inflow: float | None
    limit: float


@torch.no_grad()
def state_bound(model: LoopedWorldModel | LoopedCore) -> StateBound:
    """The bound of this model's state as its weights are now; see the module's docstring for what it leaves open.

    Only the diagonal and the gate injection have one; for the others ``limit`` is infinite.
    """
    core = model if isinstance(model, LoopedCore) else model.core
    kept: Tensor | None = core.injection.retention
    if kept is None:
        return StateBound(math.inf, None, math.inf)
    kept = kept.double()
    longest = float(core.signal_norm.weight.double().abs().max()) * math.sqrt(len(kept))
    enters = torch.diag(1 - kept)
    if isinstance(core.injection, DiagonalInjection):
        enters = enters @ core.injection.input.double()
    inflow = float(torch.linalg.matrix_norm(enters, 2)) * longest
    inflow += sum(block.bound() for block in core.layers)  # type: ignore[operator]
    retention = float(kept.max())
    return StateBound(retention, inflow, inflow / (1 - retention))
