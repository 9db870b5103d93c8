"""Predictors by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from search.problem import Problem
from search.screening.predictor import RewardPredictor
from search.screening.rules import Screening

PREDICTORS = {
    "text": "search.screening.text_predictor:TextPredictor",
    "world": "search.screening.world_predictor:world_predictor",
}


def get_predictor(name: str, problem: Problem, **options: Any) -> RewardPredictor:
    """A new predictor for a problem.

    Args:
        name: "text", see `search.screening.text_predictor`; "world", see `search.screening.world_predictor`; or
            ``module:function`` of one's own, called with the problem and the options.
        problem: The problem.
        **options: Of the predictor.

    Raises:
        ValueError: There is no such predictor, or it has no such option.
    """
    home = PREDICTORS.get(name, name)
    module, _, function = home.partition(":")
    if not function:
        raise ValueError(
            f"there is no predictor {name!r}: expected one of {', '.join(PREDICTORS)}, or module:function of your own."
        )
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"predictor {name!r} cannot be found: expected module:function. {error}") from error
    try:
        predictor: RewardPredictor = make(problem, **options)
    except TypeError as error:
        raise ValueError(f"predictor {name!r} has not these options: {error}.") from error
    return predictor


def make_predictor(rules: Screening, problem: Problem) -> RewardPredictor:
    """The predictor that the rules name, new for a problem."""
    if isinstance(rules.predictor, str):
        return get_predictor(rules.predictor, problem, **rules.options)
    return rules.predictor(problem)
