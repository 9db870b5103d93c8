"""The looped world model as a predictor: it rolls an answer out instead of evaluating it (`vpo.looped.world`).

The model was trained beforehand, on transitions of the task; what a search finds changes nothing of it. How far it is
off is learned by the screen all the same, which raises its predictions by a quantile of their errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from search.problem import Problem
from search.screening.predictor import RewardPredictor
from vpo.checkpoints import check_checkpoint


def world_predictor(problem: Problem, *, model: str | Sequence[str], notation: str = "cells") -> RewardPredictor:
    """A predictor around saved world models.

    Args:
        problem: Of a task row that the models know, such as a maze's (`search.TaskProblem`).
        model: Folder of a model as ``save_pretrained`` wrote it, or several, whose disagreement is the spread.
        notation: Of routes, as in the task.

    Raises:
        ValueError: The problem has no row, or there is no such model.
    """
    if not hasattr(problem, "row"):
        raise ValueError(
            f"problem {problem.id!r} has no row, expected that of a task which the world model was trained on: use "
            "another predictor, or a search.TaskProblem."
        )
    folders = (model,) if isinstance(model, str) else tuple(model)
    models = [_loaded(folder) for folder in folders]
    predictor: RewardPredictor = import_module("vpo.looped.world").WorldModelPredictor(
        models[0] if len(models) == 1 else models, notation
    )
    return predictor


@lru_cache(maxsize=8)
def _loaded(folder: str) -> Any:
    """One copy for all problems of a run."""
    check_checkpoint(folder)
    try:
        return import_module("vpo.looped.world").LoopedWorldModel.from_pretrained(folder, use_safetensors=True).eval()
    except OSError as error:
        raise ValueError(f"{folder} holds no world model, expected what save_pretrained wrote: {error}") from error
