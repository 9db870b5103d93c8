"""What the injection guarantees of the loop's stability, and what it does not.

One loop is ``z' = u + R(u)`` with ``u = A z + ...``, so its Jacobian is ``(I + J_R) A``. The retention ``A`` is
diagonal and below 1 by construction for the gate and the diagonal injection (LoopWM, arXiv 2606.18208; Parcae,
2604.12946). That is a certificate for ``A``, not for the loop: ``R``, the core's layers, is unconstrained, and a loop
with every channel of ``A`` below 1 can still diverge. It does contract where ``g * (1 + Lip(R)) < 1``, ``g`` the
largest retention; attention has no global ``Lip(R)``, so it is estimated at a state, and the statement is local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vpo.looped.pretrained import looped_policy
from vpo.looped.stability.jacobian import Estimate, spectral_norm
from vpo.looped.stability.loop_map import LoopMap

_COVERS = (
    "Covered: the linear part of the loop. What a state held is multiplied by at most {bound:.6g} at each injection, "
    "so without the core the loop would forget its start at that rate."
)
_LOST = (
    "Nothing is covered: a retention below 1 in exact arithmetic has been rounded to {bound:.6g} in {dtype}, and such "
    "a channel forgets nothing. Keep the injection's parameters in fp32, or lower them."
)
_NONE = "Nothing is covered: injection {kind!r} does not bound the share of the state that it keeps."
_NOT_COVERED = (
    "Not covered: the core's layers R, which are not linear and not bounded. The Jacobian of a whole loop is "
    "(I + J_R) A, whose norm may exceed 1 with every channel of A below 1; so this alone does not show that the loop "
    "contracts, has a fixed point, or keeps its state bounded."
)


@dataclass(frozen=True)
class RetentionCertificate:
    """What is known of the share of the state that one injection keeps.

    Args:
        injection: Name of the injection.
        bound: Largest retention of any channel, as the forward pass computes it; None if the injection bounds none.
        mean: Mean over channels, or None.
        holds: Whether the bound is below 1.
        covers: What this guarantees, in words.
        does_not_cover: What it leaves open, in words.
    """

    injection: str
    bound: float | None
    mean: float | None
    holds: bool
    covers: str
    does_not_cover: str = _NOT_COVERED


@dataclass(frozen=True)
class ContractionCondition:
    """The sufficient condition ``g * (1 + Lip(R)) < 1``, with the local norm of ``J_R`` in the place of ``Lip(R)``.

    Args:
        retention: g.
        core: Norm of ``J_R`` at the state that enters the core, an estimate from below.
        factor: ``g * (1 + core)``.
        holds: Whether it is below 1. If so, one loop brings states *near this one* closer together; if not, nothing
            follows: the condition is far from necessary, and ``spectral_norm`` of the loop is the sharper number.
    """

    retention: float
    core: Estimate
    factor: float
    holds: bool


def retention_certificate(model: Any) -> RetentionCertificate:
    """What the injection of ``model`` (a looped model, its backbone, or either under PEFT) guarantees.

    Raises:
        ValueError: Not a looped model.
    """
    base = looped_policy(model)
    if base is None:
        raise ValueError(f"{type(model).__name__} is not a looped model: expected a LoopedForCausalLM or LoopedModel.")
    backbone = getattr(base, "model", base)
    kind, retention = backbone.config.injection, backbone.injection.retention
    if retention is None:
        return RetentionCertificate(kind, None, None, False, _NONE.format(kind=kind))
    bound = float(retention.detach().max())
    holds = bound < 1
    covers = (_COVERS if holds else _LOST).format(bound=bound, dtype=str(retention.dtype).removeprefix("torch."))
    return RetentionCertificate(kind, bound, float(retention.detach().double().mean()), holds, covers)


def contraction_condition(step: LoopMap, state: Tensor, **options: Any) -> ContractionCondition | None:
    """Evaluate the sufficient condition for the pass that starts from ``state``.

    Args:
        step: The loop, of a model whose state is bounded by its injection alone (``scale_control="none"``).
        state: (B, T, H).
        **options: Of :func:`~vpo.looped.stability.jacobian.spectral_norm`.

    Returns:
        None if the injection bounds no retention, or the scale is controlled besides: then the loop is not of the form
        that the condition is about.
    """
    certificate = retention_certificate(step.backbone)
    if certificate.bound is None or step.backbone.config.scale_control != "none":
        return None
    with torch.no_grad():
        entering = step.backbone.injection(state, step.signal)
    core = spectral_norm(lambda u: step.core(u) - u, entering, mask=step.mask, **options)
    factor = certificate.bound * (1 + core.value)
    return ContractionCondition(certificate.bound, core, factor, factor < 1)
