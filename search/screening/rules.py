"""The rules of a screen: what share is evaluated, what is audited, and when it must stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search.problem import Problem
from search.screening.predictor import RewardPredictor

MakePredictor = Callable[[Problem], RewardPredictor]


@dataclass(frozen=True, kw_only=True)
class Screening:
    """A screen before the evaluation of a search.

    Attributes:
        share: Of new answers, about how many are kept for evaluation, in (0, 1): those of highest merit.
        audit: Of those that are not kept, how many are evaluated all the same, drawn at random, in (0, 1].
        tolerance: Highest miss rate that is put up with, in (0, 1): of answers that are not kept, the share that would
            have beaten the best so far under some weighting.
        least_skill: Lowest probability, in (0, 1), that of a kept answer and one that is not, the kept one is better.
            0.5 is a toss of a coin.
        error: Probability, in (0, 1), that a screen that keeps within tolerance and skill is ever switched off, and
            that one without any skill is ever switched on.
        warm_up: Evaluated answers before anything is predicted.
        optimism: Quantile of the predictor's past errors, in (0, 1), by which predictions are raised before they are
            compared: 0.5 takes them as they are, more favours answers of which the predictor is unsure.
        trusted: Begin switched on, without evidence; for predictors that were trained and tested before.
        predictor: A name, see `search.screening.get_predictor`, or what makes a predictor for a problem.
        options: Of the predictor, where it has a name.

    Raises:
        ValueError: A number makes no sense.
    """

    share: float = 0.25
    audit: float = 0.1
    tolerance: float = 0.1
    least_skill: float = 0.6
    error: float = 0.05
    warm_up: int = 16
    optimism: float = 0.8
    trusted: bool = False
    predictor: str | MakePredictor = "text"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("share", "tolerance", "least_skill", "error", "optimism"):
            self._check(name, "between 0 and 1", lambda value: 0 < value < 1)
        self._check("audit", "above 0 and at most 1, as nothing else shows what is lost", lambda value: 0 < value <= 1)
        if isinstance(self.warm_up, bool) or not isinstance(self.warm_up, int) or self.warm_up < 2:
            raise ValueError(f"warm_up is {self.warm_up!r}, expected a whole number, 2 at least: 16 is the default.")
        if not isinstance(self.trusted, bool):
            raise ValueError(f"trusted is {self.trusted!r}, expected true or false.")
        if not isinstance(self.predictor, str) and self.options:
            raise ValueError("options go with a predictor's name, expected none here: bind them in the function.")

    def _check(self, name: str, wanted: str, fits: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and fits(value)):
            default = type(self).__dataclass_fields__[name].default
            raise ValueError(
                f"{name} of the screen is {value!r}, expected a number {wanted}: {default} is the default."
            )

    def describe(self) -> dict[str, Any]:
        """Everything that rows of a ledger depend on."""
        name = self.predictor if isinstance(self.predictor, str) else _name(self.predictor)
        numbers = ("share", "audit", "tolerance", "least_skill", "error", "warm_up", "optimism", "trusted")
        return {each: getattr(self, each) for each in numbers} | {"predictor": name, "options": dict(self.options)}


def _name(make: MakePredictor) -> str:
    return str(getattr(make, "__name__", type(make).__name__))
