"""The depth report: per loop what a looped model does and buys, where its sweet spot lies, and what to change.

:func:`probe_of` makes a probe of a model (ours, Huginn's, Ouro's), :func:`measure_depth` measures it on passages, and
``eval.report.depth.write_depth_report`` draws the page. Estimators of motion and stability are those of
:mod:`vpo.looped.stability`; here are those of value (:mod:`.readings`, :mod:`.oracle`, :mod:`.sweet_spot`,
:mod:`.groups`, :mod:`.attention`).
"""

from __future__ import annotations

from eval.depth.adapter import AdaptedProbe, LoopMapping
from eval.depth.batches import Passage, PassageBatch, passage_batches
from eval.depth.collect import Plan
from eval.depth.mappings import huginn_mapping, ouro_mapping, probe_of
from eval.depth.measure import measure_depth
from eval.depth.own_probe import LoopedProbe
from eval.depth.probe import DepthProbe, Exits, Trajectory
from eval.depth.record import DepthReport

__all__ = [
    "AdaptedProbe",
    "DepthProbe",
    "DepthReport",
    "Exits",
    "LoopMapping",
    "LoopedProbe",
    "Passage",
    "PassageBatch",
    "Plan",
    "Trajectory",
    "huginn_mapping",
    "measure_depth",
    "ouro_mapping",
    "passage_batches",
    "probe_of",
]
