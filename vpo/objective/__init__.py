"""Objectives: what completions with one or several answers under a vector reward are paid, and their advantages.

An *objective* turns the answers of whole groups into scores and the scores into advantages. Every arm of a comparison
is one small object with a name, fed by the same tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vpo.objective.advantages import Scale, group_advantages, normalize_then_sum
from vpo.objective.base import Objective
from vpo.objective.credit import Credit, answer_credit, credit_advantages
from vpo.objective.diversity import DIVERSITY, BatchExploration, Darling, Diversity, Unlikeliness, make_diversity
from vpo.objective.groups import AnswerGroups
from vpo.objective.named import build
from vpo.objective.set_reward import chebyshev_set_reward, exact_set_reward, hypervolume, set_reward
from vpo.objective.sets import VPO, MultiRLVR
from vpo.objective.single import GDPO, GRPO, DrGRPO, MaxRL, RandomWeighting
from vpo.objective.subsets import MaxAtK, PassAtK, subset_maxima

__all__ = [
    "DIVERSITY",
    "GDPO",
    "GRPO",
    "OBJECTIVES",
    "VPO",
    "AnswerGroups",
    "BatchExploration",
    "Credit",
    "Darling",
    "Diversity",
    "DrGRPO",
    "MaxAtK",
    "MaxRL",
    "MultiRLVR",
    "Objective",
    "PassAtK",
    "RandomWeighting",
    "Scale",
    "Unlikeliness",
    "answer_credit",
    "chebyshev_set_reward",
    "credit_advantages",
    "exact_set_reward",
    "group_advantages",
    "hypervolume",
    "make_diversity",
    "make_objective",
    "normalize_then_sum",
    "set_reward",
    "subset_maxima",
]

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    cls.name: cls for cls in (VPO, GRPO, DrGRPO, GDPO, RandomWeighting, MaxRL, MaxAtK, PassAtK, MultiRLVR)
}


def make_objective(name: str, **options: Any) -> Objective:
    """Build an objective by its name.

    Args:
        name: A key of ``OBJECTIVES``.
        **options: Fields of that objective, such as ``aggregation="max"`` for "multi_rlvr".

    Returns:
        The objective.

    Raises:
        ValueError: The name, or an option's value, is unknown.
        TypeError: The objective has no such option.
    """
    return build("objective", OBJECTIVES, name, options)
