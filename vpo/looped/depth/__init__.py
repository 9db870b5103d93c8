"""Depth policies: who decides how many loops a token gets, and the record of what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vpo.looped.depth.fixed import FixedDepth, RandomDepth, Replay
from vpo.looped.depth.fixed_point import FixedPoint
from vpo.looped.depth.kl import KLExit
from vpo.looped.depth.learned import ACT, LearnedGate
from vpo.looped.depth.motion import Acceleration, LatentDifference
from vpo.looped.depth.policy import DepthPolicy, Halter, LoopCall, LoopStep, to_dict
from vpo.looped.depth.trace import DepthTrace, HaltReason

__all__ = [
    "ACT",
    "Acceleration",
    "DepthPolicy",
    "DepthTrace",
    "FixedDepth",
    "FixedPoint",
    "HaltReason",
    "Halter",
    "KLExit",
    "LatentDifference",
    "LearnedGate",
    "LoopCall",
    "LoopStep",
    "RandomDepth",
    "Replay",
    "as_policy",
    "from_dict",
    "is_saved",
    "to_dict",
]

POLICIES: dict[str, Any] = {
    cls.kind: cls
    for cls in (FixedDepth, RandomDepth, FixedPoint, LatentDifference, Acceleration, LearnedGate, ACT, KLExit)
}


def as_policy(value: DepthPolicy | Mapping[str, Any]) -> DepthPolicy:
    """A policy, whether it came as one or as the dict that describes it.

    Raises:
        ValueError: Neither of the two, or a dict that describes none.
    """
    if isinstance(value, Mapping):
        return from_dict(value)
    if not hasattr(value, "start") or not hasattr(value, "cap"):
        raise ValueError(
            f"{value!r} is no depth policy: expected one of vpo.looped.depth, such as FixedPoint(tol=0.05, cap=4), or "
            "its dict."
        )
    return value


def is_saved(policy: DepthPolicy) -> bool:
    """Whether a model is saved with this policy: not those that are for training only, nor one of your own."""
    return type(policy) in POLICIES.values() and not isinstance(policy, RandomDepth)


def from_dict(settings: Mapping[str, Any]) -> DepthPolicy:
    """The policy that ``to_dict`` described, as it stands in a model's or a generation's configuration.

    Raises:
        ValueError: No such kind of policy, or a setting that it does not have.
    """
    settings = dict(settings)
    kind = settings.pop("kind", None)
    if kind not in POLICIES:
        raise ValueError(f"depth policy {kind!r} is not known: expected 'kind' to be one of {', '.join(POLICIES)}.")
    known = {field.name for field in fields(POLICIES[kind])}
    if settings.keys() - known:
        raise ValueError(
            f"depth policy {kind!r} has no setting {', '.join(sorted(settings.keys() - known))}: it has "
            f"{', '.join(sorted(known))}."
        )
    return POLICIES[kind](**settings)
