"""Stability of the loop: what is certain, what can be measured, and how to enforce it.

The retention certificate (:mod:`.retention`), norm and radius of the loop's Jacobian (:mod:`.jacobian`,
:mod:`.token_radius`), what a trajectory shows (:mod:`.trajectory`, :mod:`.diversity`, :mod:`.gains`), losses and
parametrisations (:mod:`.penalty`, :mod:`.spectral`), and all that can be measured in one report (:mod:`.report`).
Estimators take any ``f: Tensor -> Tensor``; :func:`loop_map` makes one of a model.
"""

from __future__ import annotations

from vpo.looped.stability.diversity import DiversitySample, effective_rank, token_cosine
from vpo.looped.stability.gains import Gain, gain
from vpo.looped.stability.jacobian import (
    Estimate,
    Radius,
    growth_rate,
    spectral_norm,
    spectral_radius,
    stable_step_size,
)
from vpo.looped.stability.krylov import Spectrum
from vpo.looped.stability.local import LocalStability, local_stability
from vpo.looped.stability.loop_map import LoopMap, iterate, loop_map
from vpo.looped.stability.penalty import jacobian_penalty, scale_penalty
from vpo.looped.stability.report import StabilityReport, stability_report
from vpo.looped.stability.retention import (
    ContractionCondition,
    RetentionCertificate,
    contraction_condition,
    retention_certificate,
)
from vpo.looped.stability.spectral import apply_spectral_norm, normalised_once, remove_spectral_norm
from vpo.looped.stability.token_radius import token_spectrum
from vpo.looped.stability.trajectory import Dynamics, dynamics, fresh_start_distance
from vpo.looped.stability.verdict import Finding, findings

__all__ = [
    "ContractionCondition",
    "DiversitySample",
    "Dynamics",
    "Estimate",
    "Finding",
    "Gain",
    "LocalStability",
    "LoopMap",
    "Radius",
    "RetentionCertificate",
    "Spectrum",
    "StabilityReport",
    "apply_spectral_norm",
    "contraction_condition",
    "dynamics",
    "effective_rank",
    "findings",
    "fresh_start_distance",
    "gain",
    "growth_rate",
    "iterate",
    "jacobian_penalty",
    "local_stability",
    "loop_map",
    "normalised_once",
    "remove_spectral_norm",
    "retention_certificate",
    "scale_penalty",
    "spectral_norm",
    "spectral_radius",
    "stability_report",
    "stable_step_size",
    "token_cosine",
    "token_spectrum",
]
